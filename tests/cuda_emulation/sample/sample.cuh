#pragma once

#include "engine/gpu/kernel.h"

namespace saemill::gpu::sample {

constexpr int kThreads = 256;
constexpr int kPerThread = 4;
constexpr int kTile = 32;

__device__ inline float sum_of_warp(float value) {
#pragma unroll
  for (int distance = 16; distance > 0; distance /= 2) value += __shfl_xor_sync(kAllLanes, value, distance);
  return value;
}

__global__ void __launch_bounds__(kThreads)
    sum_blocks_kernel(const float* __restrict__ values, int64_t n, float* __restrict__ sums) {
  SAEMILL_SHARED(float, partial, kThreads / 32);
  const int64_t first = int64_t{blockIdx.x} * kThreads * kPerThread + threadIdx.x * kPerThread;
  float sum = 0;
  if (first + kPerThread <= n) {
    const Vec<float, 4> four = load<4>(values + first);
    for (int i = 0; i < kPerThread; ++i) sum += four[i];
  } else {
    for (int64_t i = first; i < n; ++i) sum += values[i];
  }
  sum = sum_of_warp(sum);
  if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = sum;
  __syncthreads();
  if (threadIdx.x != 0) return;
  for (int warp = 1; warp < kThreads / 32; ++warp) sum += partial[warp];
  sums[blockIdx.x] = sum;
}

// One column more than the tile has, so that a column's values lie in different banks.
using TileRow = float[kTile + 1];

__global__ void __launch_bounds__(kThreads)
    transpose_kernel(const float* __restrict__ in, int64_t rows, int64_t cols, float* __restrict__ out) {
  SAEMILL_SHARED(TileRow, tile, kTile);
  const int64_t row = int64_t{blockIdx.y} * kTile, col = int64_t{blockIdx.x} * kTile;
  const unsigned x = threadIdx.x % kTile;
  for (unsigned y = threadIdx.x / kTile; y < kTile; y += kThreads / kTile)
    if (row + y < rows && col + x < cols) tile[y][x] = in[(row + y) * cols + col + x];
  __syncthreads();
  for (unsigned y = threadIdx.x / kTile; y < kTile; y += kThreads / kTile)
    if (col + y < cols && row + x < rows) out[(col + y) * rows + row + x] = tile[x][y];
}

__global__ void rotate_kernel(const float* __restrict__ in, int n, int by, float* __restrict__ out) {
  float* all = dynamic_shared<float>(0, static_cast<size_t>(n));
  for (int i = static_cast<int>(threadIdx.x); i < n; i += static_cast<int>(blockDim.x)) all[i] = in[i];
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.x); i < n; i += static_cast<int>(blockDim.x))
    out[i] = all[(i + by) % n];
}

template <typename Low>
__global__ void convert_kernel(const float* __restrict__ in, int64_t n, Low* __restrict__ out) {
  const int64_t first = (int64_t{blockIdx.x} * blockDim.x + threadIdx.x) * 8;
  if (first >= n) return;
  const Vec<float, 4> a = load_once<4>(in + first), b = load_once<4>(in + first + 4);
  Vec<Low, 8> low;
  for (int i = 0; i < 4; ++i) {
    low[i] = to_low<Low>(a[i]);
    low[i + 4] = to_low<Low>(b[i]);
  }
  store(out + first, low);
}

}  // namespace saemill::gpu::sample
