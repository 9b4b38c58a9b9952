// What a .cuh file of kernels includes and may use. Under nvcc CUDA itself; under a host compiler a small
// emulation (gpu_emulation.h of tests/cuda_emulation, found by include path).
//
// Kernels use CUDA's own names, without PTX, CUB or cooperative groups: __global__, __device__, threadIdx
// (one dimension), blockIdx, blockDim, gridDim, __launch_bounds__, __syncthreads, __syncwarp, __shfl_sync and
// its kind, votes, __threadfence, atomics, bit and float intrinsics. A loop that waits for another thread
// does not end in the emulation. Own names, because C++ alone cannot stand in for CUDA's:
//
//   SAEMILL_SHARED(float, tile, 256);                      // __shared__ float tile[256]
//   float* row = dynamic_shared<float>(offset_bytes, n);   // part of what the launch gave
//   Vec<float, 4> v = load<4>(p); store(p, v);             // one access of 4, 8 or 16 bytes, aligned to it
//   float f = to_float(b); BFloat16 b = to_bf16(f);
#pragma once

#ifdef __CUDACC__
#include "engine/gpu/cuda/kernel_names.h"
#else
#include <gpu_emulation.h>
#endif

#include "engine/tensor/view.h"

namespace saemill::gpu {

constexpr unsigned kWarp = 32;
constexpr unsigned kAllLanes = 0xffffffffu;

// N values that are loaded and stored as one.
template <typename T, int N>
struct alignas(sizeof(T) * N) Vec {
  static_assert(sizeof(T) * N == 4 || sizeof(T) * N == 8 || sizeof(T) * N == 16);
  T lanes[N];
  __device__ T& operator[](int i) { return lanes[i]; }
  __device__ const T& operator[](int i) const { return lanes[i]; }
};

template <int N, typename T>
__device__ inline Vec<T, N> load(const T* from) {
  return names::load<Vec<T, N>>(from);
}
template <typename T, int N>
__device__ inline void store(T* to, const Vec<T, N>& value) {
  names::store(to, value);
}
// For data that no other block will want soon: leaves the L2 cache to the rest.
template <int N, typename T>
__device__ inline Vec<T, N> load_once(const T* from) {
  return names::load_once<Vec<T, N>>(from);
}
template <typename T, int N>
__device__ inline void store_once(T* to, const Vec<T, N>& value) {
  names::store_once(to, value);
}

__device__ inline float to_float(float value) {
  return value;
}
__device__ inline float to_float(BFloat16 value) {
  return __uint_as_float(static_cast<unsigned>(value.bits) << 16);
}

// Rounds to nearest, ties to even: the bits of the CPU backend. NaN stays NaN.
__device__ inline BFloat16 to_bf16(float value) {
  const unsigned bits = __float_as_uint(value);
  const unsigned rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  const bool nan = (bits & 0x7fffffffu) > 0x7f800000u;
  return {static_cast<uint16_t>(nan ? (bits >> 16) | 0x40u : rounded)};
}

// Either type of a GEMM operand from a float.
template <typename Low>
__device__ inline Low to_low(float value);
template <>
__device__ inline float to_low<float>(float value) {
  return value;
}
template <>
__device__ inline BFloat16 to_low<BFloat16>(float value) {
  return to_bf16(value);
}

}  // namespace saemill::gpu
