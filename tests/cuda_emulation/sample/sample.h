// A few kernels that show the layer in use: sums by blocks and transposition, by CUDA or by its emulation.
#pragma once

#include <cstdint>

#include "engine/gpu/runtime.h"
#include "engine/tensor/view.h"

namespace saemill::gpu::sample {

// sums[b] = sum of values[1024 b ...]; all in device memory, `sums` of ceil(n / 1024).
void sum_blocks(const float* values, int64_t n, float* sums, const Stream& stream);
// Row-major [rows, cols] to [cols, rows].
void transpose(const float* in, int64_t rows, int64_t cols, float* out, const Stream& stream);
// The whole vector moved by `by` places, through shared memory of n floats; one block.
void rotate(const float* in, int n, int by, float* out, const Stream& stream);
// n is a multiple of 8; both aligned to 16 bytes.
void to_low_precision(const float* in, int64_t n, BFloat16* out, const Stream& stream);

}  // namespace saemill::gpu::sample
