// CUDA's intrinsic functions for a host compiler. Included by gpu_emulation.h.
#pragma once

#include <algorithm>

namespace saemill::gpu::emulation {

constexpr unsigned kAll = 0xffffffffu;

// Lanes outside of a segment of `width` lanes are not read; the thread gets its own value instead.
inline unsigned segment_first(int width) {
  return lane() & ~(static_cast<unsigned>(width) - 1);
}
inline unsigned segment_last(int width) {
  return segment_first(width) + static_cast<unsigned>(width) - 1;
}

}  // namespace saemill::gpu::emulation

inline void __syncthreads(const std::source_location& where = std::source_location::current()) {
  saemill::gpu::emulation::wait_for_block(false, "__syncthreads", where);
}
inline int __syncthreads_count(int value,
                               const std::source_location& where = std::source_location::current()) {
  return saemill::gpu::emulation::wait_for_block(value != 0, "__syncthreads_count", where);
}
inline int __syncthreads_or(int value, const std::source_location& where = std::source_location::current()) {
  return saemill::gpu::emulation::wait_for_block(value != 0, "__syncthreads_or", where) > 0;
}
inline int __syncthreads_and(int value, const std::source_location& where = std::source_location::current()) {
  return saemill::gpu::emulation::wait_for_block(value == 0, "__syncthreads_and", where) == 0;
}
inline void __syncwarp(unsigned mask = saemill::gpu::emulation::kAll,
                       const std::source_location& where = std::source_location::current()) {
  saemill::gpu::emulation::vote(mask, false, "__syncwarp", where);
}
inline void __threadfence() {}
inline void __threadfence_block() {}

inline unsigned __ballot_sync(unsigned mask, int value,
                              const std::source_location& where = std::source_location::current()) {
  return saemill::gpu::emulation::vote(mask, value != 0, "__ballot_sync", where);
}
inline int __any_sync(unsigned mask, int value,
                      const std::source_location& where = std::source_location::current()) {
  return saemill::gpu::emulation::vote(mask, value != 0, "__any_sync", where) != 0;
}
inline int __all_sync(unsigned mask, int value,
                      const std::source_location& where = std::source_location::current()) {
  return saemill::gpu::emulation::vote(mask, value == 0, "__all_sync", where) == 0;
}

template <typename T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32,
              const std::source_location& where = std::source_location::current()) {
  const unsigned within = static_cast<unsigned>(source) & (static_cast<unsigned>(width) - 1);
  const unsigned from = saemill::gpu::emulation::segment_first(width) + within;
  return saemill::gpu::emulation::exchange(mask, value, from, "__shfl_sync", where);
}
template <typename T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32,
                 const std::source_location& where = std::source_location::current()) {
  const unsigned lane = saemill::gpu::emulation::lane();
  const bool inside = lane >= saemill::gpu::emulation::segment_first(width) + delta;
  return saemill::gpu::emulation::exchange(mask, value, inside ? lane - delta : lane, "__shfl_up_sync",
                                           where);
}
template <typename T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32,
                   const std::source_location& where = std::source_location::current()) {
  const unsigned lane = saemill::gpu::emulation::lane();
  const bool inside = lane + delta <= saemill::gpu::emulation::segment_last(width);
  return saemill::gpu::emulation::exchange(mask, value, inside ? lane + delta : lane, "__shfl_down_sync",
                                           where);
}
template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int lane_mask, int width = 32,
                  const std::source_location& where = std::source_location::current()) {
  const unsigned lane = saemill::gpu::emulation::lane();
  const unsigned other = lane ^ static_cast<unsigned>(lane_mask);
  const bool inside = other <= saemill::gpu::emulation::segment_last(width);
  return saemill::gpu::emulation::exchange(mask, value, inside ? other : lane, "__shfl_xor_sync", where);
}

template <saemill::gpu::emulation::AtomicNumber T>
T atomicAdd(T* at, std::type_identity_t<T> value) {
  if constexpr (std::same_as<T, int>) {
    return static_cast<int>(atomicAdd(reinterpret_cast<unsigned*>(at), static_cast<unsigned>(value)));
  } else {
    return saemill::gpu::emulation::atomically(at, [&](T old) { return old + value; });
  }
}
template <saemill::gpu::emulation::AtomicInteger T>
T atomicMin(T* at, std::type_identity_t<T> value) {
  return saemill::gpu::emulation::atomically(at, [&](T old) { return std::min(old, value); });
}
template <saemill::gpu::emulation::AtomicInteger T>
T atomicMax(T* at, std::type_identity_t<T> value) {
  return saemill::gpu::emulation::atomically(at, [&](T old) { return std::max(old, value); });
}
template <saemill::gpu::emulation::AtomicInteger T>
T atomicOr(T* at, std::type_identity_t<T> value) {
  return saemill::gpu::emulation::atomically(at, [&](T old) { return old | value; });
}
template <saemill::gpu::emulation::AtomicInteger T>
T atomicAnd(T* at, std::type_identity_t<T> value) {
  return saemill::gpu::emulation::atomically(at, [&](T old) { return old & value; });
}
template <saemill::gpu::emulation::AtomicInteger T>
T atomicExch(T* at, std::type_identity_t<T> value) {
  return saemill::gpu::emulation::atomically(at, [&](T) { return value; });
}
template <saemill::gpu::emulation::AtomicInteger T>
T atomicCAS(T* at, std::type_identity_t<T> expected, std::type_identity_t<T> value) {
  return saemill::gpu::emulation::atomically(at, [&](T old) { return old == expected ? value : old; });
}

inline int __popc(unsigned x) {
  return std::popcount(x);
}
inline int __popcll(unsigned long long x) {
  return std::popcount(x);
}
inline int __ffs(int x) {
  return __builtin_ffs(x);
}
inline int __ffsll(long long x) {
  return __builtin_ffsll(x);
}
inline int __clz(int x) {
  return std::countl_zero(static_cast<unsigned>(x));
}
inline int __clzll(long long x) {
  return std::countl_zero(static_cast<unsigned long long>(x));
}
inline unsigned __brev(unsigned x) {
  unsigned reversed = 0;
  for (int i = 0; i < 32; ++i) reversed |= ((x >> i) & 1u) << (31 - i);
  return reversed;
}
inline unsigned __umulhi(unsigned a, unsigned b) {
  return static_cast<unsigned>(uint64_t{a} * b >> 32);
}
inline unsigned __float_as_uint(float x) {
  return std::bit_cast<unsigned>(x);
}
inline int __float_as_int(float x) {
  return std::bit_cast<int>(x);
}
inline float __uint_as_float(unsigned x) {
  return std::bit_cast<float>(x);
}
inline float __int_as_float(int x) {
  return std::bit_cast<float>(x);
}
inline long long __double_as_longlong(double x) {
  return std::bit_cast<long long>(x);
}
inline double __longlong_as_double(long long x) {
  return std::bit_cast<double>(x);
}

// CUDA's names for one operation, rounded once and never contracted with the next.
inline float __fadd_rn(float a, float b) {
  return a + b;
}
inline float __fmul_rn(float a, float b) {
  return a * b;
}
inline float __fmaf_rn(float a, float b, float c) {
  return std::fma(a, b, c);
}
inline float __fdiv_rn(float a, float b) {
  return a / b;
}
inline float __fsqrt_rn(float a) {
  return std::sqrt(a);
}
inline float rsqrtf(float x) {
  return 1.0f / std::sqrt(x);
}

template <typename T>
T __ldg(const T* at) {
  saemill::gpu::emulation::check_alignment(at, sizeof(T));
  return *at;
}

template <typename T>
constexpr T min(T a, std::type_identity_t<T> b) {
  return b < a ? b : a;
}
template <typename T>
constexpr T max(T a, std::type_identity_t<T> b) {
  return a < b ? b : a;
}
