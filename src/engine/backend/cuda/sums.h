// Sums over a step, Adam of one vector, and conversions. All pointers are device memory; everything is
// enqueued on the stream and nothing waits or allocates. Low is float or BFloat16. Sums are taken in a fixed
// order.
#pragma once

#include <cstdint>

#include "engine/backend/step_scalars.h"
#include "engine/gpu/runtime.h"
#include "engine/tensor/view.h"

namespace saemill::gpu {

// What Adam needs of a step, in the precision of the weights; once for all kernels.
struct AdamConstants {
  float beta1, one_minus_beta1;
  float beta2, one_minus_beta2;
  float step_size;           // lr / (1 - beta1^step)
  float inverse_root_bias2;  // 1 / sqrt(1 - beta2^step)
  float epsilon;
  float clip_factor;
};

// clip_factor: of the step sums; null: 1. out: device memory, aligned to 16.
void prepare_adam(const StepScalars* step, const double* clip_factor, AdamConstants* out,
                  const Stream& stream);
void adam_vector(float* param, const float* grad, float* m, float* v, int64_t n,
                 const AdamConstants* constants, const Stream& stream);

// What a step adds up over its micro-batches, zero before the first one.
struct StepTotals {
  double* sums = nullptr;     // [kStepSums]
  double* bias = nullptr;     // [n]: column sums of the residual
  double* moments = nullptr;  // [n + 1]: of data_moments; null: not wanted
};

// Adds row_stats [rows, kRowStats], block_sums [ceil(rows / kBlock), n] and, where both are given, moments
// [ceil(rows / kBlock), n + 1].
struct BatchSums {
  const double* row_stats = nullptr;
  const float* block_sums = nullptr;
  const double* moments = nullptr;
  int64_t rows = 0;
  int64_t n = 0;
};
void add_batch_sums(const BatchSums& batch, const StepTotals& totals, const Stream& stream);

// After a norm or apply pass over all latents:
//   grad_b_dec[i] = bias[i] - sum over blocks of block_sums[b][i]
//   sums[kGradientSquares] = sum of block_norms + sum of grad_b_dec^2
//   sums[kClipFactor] = clip_norm / norm where clip_norm > 0 and the norm is larger, else 1
struct GradientSums {
  const float* block_sums = nullptr;    // [blocks, n]
  const double* block_norms = nullptr;  // [blocks]
  int64_t blocks = 0;                   // ceil(M / kBlock)
  int64_t n = 0;
  double clip_norm = 0;
  float* grad_b_dec = nullptr;  // out, [n]
};
void finish_gradients(const GradientSums& gradients, const StepTotals& totals, const Stream& stream);

// out f64 [ceil(rows / kBlock), n + 1]: column sums of x, and last the sum of squares.
void data_moments(const float* x, int64_t rows, int64_t n, double* out, const Stream& stream);

// centered = low(x - b_dec); rows up to padded_rows are zeroed.
template <typename Low>
void center(const float* x, const float* b_dec, int64_t rows, int64_t padded_rows, int64_t n, Low* centered,
            const Stream& stream);

// Low copies of so many values; both aligned to 16.
template <typename Low>
void pack(const float* values, int64_t count, Low* out, const Stream& stream);

}  // namespace saemill::gpu
