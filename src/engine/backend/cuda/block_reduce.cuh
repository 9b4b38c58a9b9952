// What kernels over rows share: sums over a warp or a block in a fixed order, and access to a few columns of
// a row at once. Sums do not depend on the order in which threads run.
#pragma once

#include "common/plan/tiles.h"
#include "engine/gpu/kernel.h"

namespace saemill::gpu {

constexpr int kLanes = static_cast<int>(kWarp);

__device__ inline int lane_index() {
  return static_cast<int>(threadIdx.x % kWarp);
}
__device__ inline int warp_index() {
  return static_cast<int>(threadIdx.x / kWarp);
}

// Every lane gets the sum.
template <typename T>
__device__ inline T warp_sum(T value) {
#pragma unroll
  for (int distance = kLanes / 2; distance > 0; distance /= 2)
    value += __shfl_xor_sync(kAllLanes, value, distance);
  return value;
}

// Every thread gets the sums over the block. All threads take part; several sums at once share the barriers.
template <typename T, int kCount>
__device__ inline void block_sum(T (&values)[kCount]) {
  SAEMILL_SHARED(T, partial, kCount * kLanes);
  const int warps = static_cast<int>(blockDim.x / kWarp);
  __syncthreads();  // the sums of the call before may still be read
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    values[i] = warp_sum(values[i]);
    if (lane_index() == 0) partial[i * kLanes + warp_index()] = values[i];
  }
  __syncthreads();
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    T sum = 0;
    for (int warp = 0; warp < warps; ++warp) sum += partial[i * kLanes + warp];
    values[i] = sum;
  }
}

template <typename T>
__device__ inline T block_sum(T value) {
  T values[1] = {value};
  block_sum(values);
  return values[0];
}

// Four columns from `column` on, as floats; 0 beyond n. kAligned: n is a multiple of 4, so that a row begins
// where four columns can be loaded at once (16 bytes of f32, 8 of bf16).
using Four = Vec<float, 4>;

enum class Reuse { soon, never };  // never: the L2 cache is left to others

template <bool kAligned, Reuse kReuse = Reuse::soon, typename T>
__device__ inline Four load_four(const T* row, int64_t column, int64_t n) {
  Four four{};
  if constexpr (kAligned) {
    if (column < n) {
      const Vec<T, 4> loaded = kReuse == Reuse::soon ? load<4>(row + column) : load_once<4>(row + column);
#pragma unroll
      for (int i = 0; i < 4; ++i) four[i] = to_float(loaded[i]);
    }
  } else {
#pragma unroll
    for (int i = 0; i < 4; ++i)
      if (column + i < n) four[i] = to_float(row[column + i]);
  }
  return four;
}

template <bool kAligned, Reuse kReuse = Reuse::soon, typename T>
__device__ inline void store_four(T* row, int64_t column, int64_t n, const Four& four) {
  if constexpr (kAligned) {
    if (column >= n) return;
    Vec<T, 4> stored;
#pragma unroll
    for (int i = 0; i < 4; ++i) stored[i] = to_low<T>(four[i]);
    kReuse == Reuse::soon ? store(row + column, stored) : store_once(row + column, stored);
  } else {
#pragma unroll
    for (int i = 0; i < 4; ++i)
      if (column + i < n) row[column + i] = to_low<T>(four[i]);
  }
}

template <typename Columns>
__device__ inline void add_scaled(Four& sum, float factor, const Columns& values) {
#pragma unroll
  for (int i = 0; i < 4; ++i) sum[i] += factor * values[i];
}

__device__ inline float dot_four(const Four& a, const Four& b) {
  return (a[0] * b[0] + a[1] * b[1]) + (a[2] * b[2] + a[3] * b[3]);
}

}  // namespace saemill::gpu
