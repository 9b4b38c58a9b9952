// CUDA's errors as saemill's. Also for other folders that call CUDA's runtime library.
#pragma once

#include <cuda_runtime_api.h>

namespace saemill::gpu {

// Throws Error where `result` is one; `operation` is what was tried, e.g. "allocating 4096 bytes".
[[noreturn]] void throw_cuda_error(cudaError_t result, const char* operation);

inline void check(cudaError_t result, const char* operation) {
  if (result != cudaSuccess) throw_cuda_error(result, operation);
}

}  // namespace saemill::gpu
