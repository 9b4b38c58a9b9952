// What the dense path (ReLU) does between its GEMMs, which the caller runs over chunks of latents. All
// pointers are device memory; everything is enqueued on the stream and nothing waits or allocates. Low is
// float or BFloat16.
#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/backend/step_scalars.h"
#include "engine/gpu/runtime.h"
#include "engine/tensor/view.h"

namespace saemill::gpu {

// One chunk's matrices [padded_rows, ld]: the batch has `rows` rows, and latents [first, first + count) are
// the first columns. What is written outside of these is zero. Fast where ld is a multiple of 4 (then
// matrices and biases are aligned to 16 bytes).
struct DenseChunk {
  int64_t rows = 0, padded_rows = 0;
  int64_t count = 0, ld = 0;
  const float* pre = nullptr;   // pre-activations without bias
  const float* bias = nullptr;  // [count], of b_enc
};

// z = low(max(pre + bias, 0)). Adds the chunk's L1 and L0 to row_stats [rows, kRowStats]; the first chunk
// (begin) sets all four.
template <typename Low>
void dense_activate(const DenseChunk& chunk, bool begin, Low* z, double* row_stats, const Stream& stream);

template <typename Low>
struct DenseError {
  int64_t rows = 0, n = 0;
  const float* x = nullptr;        // [rows, n]
  const float* decoded = nullptr;  // [rows, n]: sum of z * decoder row, without b_dec
  const float* b_dec = nullptr;    // [n]
  float scale = 0;                 // 2 / B_global
  Low* residual = nullptr;         // out, [rows, n]
  double* row_stats = nullptr;     // [rows, kRowStats]: kSquaredError is set
};
// After the last chunk. residual_block_sums of decode.h follows.
template <typename Low>
void dense_error(const DenseError<Low>& arguments, const Stream& stream);

template <typename Low>
struct DenseGradient {
  DenseChunk chunk{};
  const float* dz = nullptr;          // [padded_rows, ld]: residual times decoder
  const StepScalars* step = nullptr;  // l1, now
  Low* z = nullptr;                   // out
  Low* g = nullptr;                   // out: dz + l1 where active
  float* grad_b_enc = nullptr;        // [count]: the sum of g over rows is added
  int64_t* last_fired = nullptr;      // [count]: set to step->now where a row is active; null: left alone
};

// Of dense_gradient, for so many padded rows and latents of a chunk.
size_t dense_scratch_bytes(int64_t padded_rows, int64_t count);

// z and g for the gradients' GEMMs (dec += z^T residual, enc += g^T centered). The chunk is finished by
// update_latents with these as stored gradients and no codes.
template <typename Low>
void dense_gradient(const DenseGradient<Low>& arguments, void* scratch, const Stream& stream);

}  // namespace saemill::gpu
