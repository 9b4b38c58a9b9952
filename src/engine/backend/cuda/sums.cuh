// Sums over columns: a warp adds up every 32nd row of a few columns, and the warps' sums are added in their
// order, so that thousands of rows are not read one after another.
#pragma once

#include "engine/backend/cuda/adam.cuh"
#include "engine/backend/cuda/block_reduce.cuh"
#include "engine/backend/cuda/sums.h"

namespace saemill::gpu {

constexpr int kColumnThreads = 1024;
constexpr int kColumnWarps = kColumnThreads / kLanes;

// beta^step by squaring: exact enough for 1 - beta^step, which pow of float is not.
__device__ inline double whole_power(double base, int64_t exponent) {
  double power = 1;
  for (; exponent > 0; exponent /= 2, base *= base)
    if (exponent % 2 != 0) power *= base;
  return power;
}

__global__ void prepare_adam_kernel(const StepScalars* __restrict__ step,
                                    const double* __restrict__ clip_factor, AdamConstants* __restrict__ out) {
  const AdamStep& adam = step->adam;
  out->beta1 = static_cast<float>(adam.beta1);
  out->one_minus_beta1 = static_cast<float>(1 - adam.beta1);
  out->beta2 = static_cast<float>(adam.beta2);
  out->one_minus_beta2 = static_cast<float>(1 - adam.beta2);
  out->step_size = static_cast<float>(adam.lr / (1 - whole_power(adam.beta1, adam.step)));
  out->inverse_root_bias2 = static_cast<float>(1 / sqrt(1 - whole_power(adam.beta2, adam.step)));
  out->epsilon = static_cast<float>(adam.epsilon);
  out->clip_factor = clip_factor == nullptr ? 1.0f : static_cast<float>(*clip_factor);
}

__global__ void __launch_bounds__(256)
    adam_vector_kernel(float* __restrict__ param, const float* __restrict__ grad, float* __restrict__ m,
                       float* __restrict__ v, int64_t n, const AdamConstants* __restrict__ constants) {
  const int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i < n) adam_element(param[i], grad[i], m[i], v[i], *constants);
}

// The sum over all rows of column blockIdx.x * 32 + lane; threads of the first warp get it, others 0. All
// threads take part.
template <typename T>
__device__ inline double column_sum(const T* matrix, int64_t rows, int64_t columns) {
  SAEMILL_SHARED(double, partial, kColumnThreads);
  const int64_t column = int64_t{blockIdx.x} * kLanes + lane_index();
  double sum = 0;
  if (column < columns) {
#pragma unroll 8
    for (int64_t row = warp_index(); row < rows; row += kColumnWarps)
      sum += static_cast<double>(matrix[row * columns + column]);
  }
  partial[threadIdx.x] = sum;
  __syncthreads();
  if (warp_index() != 0) return 0;
  sum = 0;
  for (int warp = 0; warp < kColumnWarps; ++warp) sum += partial[warp * kLanes + lane_index()];
  return sum;
}

template <typename T>
__global__ void __launch_bounds__(kColumnThreads)
    add_columns_kernel(const T* __restrict__ matrix, int64_t rows, int64_t columns,
                       double* __restrict__ totals) {
  const double sum = column_sum(matrix, rows, columns);
  const int64_t column = int64_t{blockIdx.x} * kLanes + lane_index();
  if (warp_index() == 0 && column < columns) totals[column] += sum;
}

// One block.
__global__ void __launch_bounds__(kColumnThreads)
    add_row_stats_kernel(const double* __restrict__ row_stats, int64_t rows, double* __restrict__ sums) {
  double stats[kRowStats] = {};
  for (int64_t row = threadIdx.x; row < rows; row += kColumnThreads) {
#pragma unroll
    for (int s = 0; s < kRowStats; ++s) stats[s] += row_stats[row * kRowStats + s];
  }
  block_sum(stats);
  if (threadIdx.x != 0) return;
  for (int s = 0; s < kRowStats; ++s) sums[s] += stats[s];
}

__global__ void __launch_bounds__(kColumnThreads)
    bias_gradient_kernel(const float* __restrict__ block_sums, int64_t blocks, int64_t n,
                         const double* __restrict__ bias, float* __restrict__ grad) {
  const double sum = column_sum(block_sums, blocks, n);
  const int64_t column = int64_t{blockIdx.x} * kLanes + lane_index();
  if (warp_index() == 0 && column < n) grad[column] = static_cast<float>(bias[column] - sum);
}

// One block.
__global__ void __launch_bounds__(kColumnThreads)
    gradient_norm_kernel(const double* __restrict__ block_norms, int64_t blocks,
                         const float* __restrict__ grad, int64_t n, double clip_norm,
                         double* __restrict__ sums) {
  double squares = 0;
  for (int64_t b = threadIdx.x; b < blocks; b += kColumnThreads) squares += block_norms[b];
  for (int64_t i = threadIdx.x; i < n; i += kColumnThreads)
    squares += static_cast<double>(grad[i]) * static_cast<double>(grad[i]);
  squares = block_sum(squares);
  if (threadIdx.x != 0) return;
  const double norm = sqrt(squares);
  sums[kGradientSquares] = squares;
  sums[kClipFactor] = clip_norm > 0 && norm > clip_norm ? clip_norm / norm : 1;
}

// A block has kBlock rows; a thread has some of the columns.
__global__ void __launch_bounds__(kColumnThreads)
    data_moments_kernel(const float* __restrict__ x, int64_t rows, int64_t n, double* __restrict__ out) {
  const int64_t first = int64_t{blockIdx.x} * kBlock, last = min(first + kBlock, rows);
  double* sums = out + int64_t{blockIdx.x} * (n + 1);
  double squares = 0;
  for (int64_t column = threadIdx.x; column < n; column += blockDim.x) {
    double sum = 0;
#pragma unroll 8
    for (int64_t row = first; row < last; ++row) {
      const double value = static_cast<double>(x[row * n + column]);
      sum += value;
      squares += value * value;
    }
    sums[column] = sum;
  }
  squares = block_sum(squares);
  if (threadIdx.x == 0) sums[n] = squares;
}

// A block has a row.
template <typename Low, bool kAligned>
__global__ void __launch_bounds__(256)
    center_kernel(const float* __restrict__ x, const float* __restrict__ b_dec, int64_t rows, int64_t n,
                  Low* __restrict__ centered) {
  const int64_t row = blockIdx.x;
  for (int64_t column = threadIdx.x * 4; column < n; column += blockDim.x * 4) {
    Four values{};
    if (row < rows) {
      values = load_four<kAligned>(x + row * n, column, n);
      add_scaled(values, -1.0f, load_four<kAligned>(b_dec, column, n));
    }
    store_four<kAligned>(centered + row * n, column, n, values);
  }
}

template <typename Low, bool kAligned>
__global__ void __launch_bounds__(256)
    pack_kernel(const float* __restrict__ values, int64_t count, Low* __restrict__ out) {
  const int64_t i = (int64_t{blockIdx.x} * blockDim.x + threadIdx.x) * 4;
  store_four<kAligned>(out, i, count, load_four<kAligned, Reuse::never>(values, i, count));
}

}  // namespace saemill::gpu
