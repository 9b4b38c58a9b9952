// Kernels that move single numbers.
#pragma once

#include "engine/gpu/kernel.h"

namespace saemill::gpu {

__global__ void store_count_kernel(const int64_t* count, double* out) {
  if (threadIdx.x == 0) *out = static_cast<double>(*count);
}

}  // namespace saemill::gpu
