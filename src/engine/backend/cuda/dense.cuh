// What lies between the GEMMs of the dense path: each kernel reads and writes its matrices once.
#pragma once

#include "engine/backend/cuda/block_reduce.cuh"
#include "engine/backend/cuda/dense.h"

namespace saemill::gpu {

constexpr int kDenseThreads = 256;
constexpr int kDenseWarps = kDenseThreads / kLanes;
constexpr int kDenseColumns = kLanes * 4;  // of a block of dense_gradient_kernel
constexpr int kRowsOfWarp = static_cast<int>(kBlock) / kDenseWarps;

// pre + bias, and 0 where it is not positive or outside of the chunk.
template <bool kAligned>
__device__ inline Four activation(const DenseChunk& chunk, int64_t row, int64_t column) {
  Four z{};
  if (row >= chunk.rows) return z;
  const Four pre = load_four<kAligned>(chunk.pre + row * chunk.ld, column, chunk.ld);
#pragma unroll
  for (int c = 0; c < 4; ++c)
    if (column + c < chunk.count) {
      const float value = pre[c] + chunk.bias[column + c];
      z[c] = value > 0 ? value : 0.0f;
    }
  return z;
}

// A block has a row.
template <typename Low, bool kAligned>
__global__ void __launch_bounds__(kDenseThreads)
    dense_activate_kernel(DenseChunk chunk, bool begin, Low* __restrict__ z, double* __restrict__ row_stats) {
  const int64_t row = blockIdx.x;
  double sums[2] = {0, 0};  // L1 and L0
  for (int64_t column = threadIdx.x * 4; column < chunk.ld; column += kDenseThreads * 4) {
    const Four active = activation<kAligned>(chunk, row, column);
    store_four<kAligned>(z + row * chunk.ld, column, chunk.ld, active);
#pragma unroll
    for (int c = 0; c < 4; ++c) {
      sums[0] += static_cast<double>(active[c]);
      sums[1] += active[c] > 0 ? 1.0 : 0.0;
    }
  }
  block_sum(sums);
  if (threadIdx.x != 0 || row >= chunk.rows) return;
  double* stats = row_stats + row * kRowStats;
  if (begin)
    for (int s = 0; s < kRowStats; ++s) stats[s] = 0;
  stats[kL1] += sums[0];
  stats[kL0] += sums[1];
}

// A block has a row.
template <typename Low, bool kAligned>
__global__ void __launch_bounds__(kDenseThreads) dense_error_kernel(DenseError<Low> a) {
  const int64_t row = blockIdx.x, n = a.n;
  double squares = 0;
  for (int64_t column = threadIdx.x * 4; column < n; column += kDenseThreads * 4) {
    Four error = load_four<kAligned>(a.decoded + row * n, column, n);
    add_scaled(error, 1.0f, load_four<kAligned>(a.b_dec, column, n));
    add_scaled(error, -1.0f, load_four<kAligned>(a.x + row * n, column, n));
    squares += static_cast<double>(dot_four(error, error));
#pragma unroll
    for (int c = 0; c < 4; ++c) error[c] *= a.scale;
    store_four<kAligned>(a.residual + row * n, column, n, error);
  }
  squares = block_sum(squares);
  if (threadIdx.x == 0) a.row_stats[row * kRowStats + kSquaredError] = squares;
}

// A block has kBlock rows and kDenseColumns columns; its warps share the rows. partial [blocks of rows,
// count] gets the sums of g over the block's rows.
template <typename Low, bool kAligned>
__global__ void __launch_bounds__(kDenseThreads)
    dense_gradient_kernel(DenseGradient<Low> a, float* __restrict__ partial) {
  SAEMILL_SHARED(Four, sums, kDenseThreads);
  const DenseChunk& chunk = a.chunk;
  const int64_t column = int64_t{blockIdx.y} * kDenseColumns + lane_index() * 4;
  const int64_t first = int64_t{blockIdx.x} * kBlock + warp_index() * kRowsOfWarp;
  const float l1 = static_cast<float>(a.step->l1);
  Four sum{};
  bool fired[4] = {};
  for (int64_t row = first; row < min(first + kRowsOfWarp, chunk.padded_rows); ++row) {
    const Four z = activation<kAligned>(chunk, row, column);
    Four g = load_four<kAligned>(a.dz + row * chunk.ld, column, chunk.ld);
#pragma unroll
    for (int c = 0; c < 4; ++c) {
      g[c] = z[c] > 0 ? g[c] + l1 : 0.0f;
      sum[c] += g[c];
      fired[c] = fired[c] || z[c] > 0;
    }
    store_four<kAligned>(a.z + row * chunk.ld, column, chunk.ld, z);
    store_four<kAligned>(a.g + row * chunk.ld, column, chunk.ld, g);
  }
  // Threads that set the same element set it to the same value.
  if (a.last_fired != nullptr)
    for (int c = 0; c < 4; ++c)
      if (fired[c]) a.last_fired[column + c] = a.step->now;
  sums[threadIdx.x] = sum;
  __syncthreads();
  if (warp_index() != 0) return;
  for (int warp = 1; warp < kDenseWarps; ++warp) add_scaled(sum, 1.0f, sums[warp * kLanes + lane_index()]);
  for (int c = 0; c < 4; ++c)
    if (column + c < chunk.count) partial[int64_t{blockIdx.x} * chunk.count + column + c] = sum[c];
}

__global__ void __launch_bounds__(kDenseThreads)
    dense_bias_kernel(const float* __restrict__ partial, int64_t blocks, int64_t count,
                      float* __restrict__ grad) {
  const int64_t column = int64_t{blockIdx.x} * kDenseThreads + threadIdx.x;
  if (column >= count) return;
  float sum = grad[column];
#pragma unroll 8
  for (int64_t block = 0; block < blocks; ++block) sum += partial[block * count + column];
  grad[column] = sum;
}

}  // namespace saemill::gpu
