// CUDA's side of the names in engine/gpu/kernel.h and launch.h. Only for nvcc.
#pragma once

#include <cuda_runtime.h>

#include <tuple>

#include "engine/gpu/launch_call.h"

#define SAEMILL_SHARED(type, name, count) __shared__ type name[count]

namespace saemill::gpu {
namespace names {

template <size_t Bytes>
struct Word;
template <>
struct Word<4> {
  using Type = unsigned;
};
template <>
struct Word<8> {
  using Type = uint2;
};
template <>
struct Word<16> {
  using Type = uint4;
};

template <typename V, typename T>
__device__ inline V load(const T* from) {
  const auto word = *reinterpret_cast<const typename Word<sizeof(V)>::Type*>(from);
  return reinterpret_cast<const V&>(word);
}
template <typename V, typename T>
__device__ inline V load_once(const T* from) {
  const auto word = __ldcs(reinterpret_cast<const typename Word<sizeof(V)>::Type*>(from));
  return reinterpret_cast<const V&>(word);
}
template <typename V, typename T>
__device__ inline void store(T* to, const V& value) {
  using Type = typename Word<sizeof(V)>::Type;
  *reinterpret_cast<Type*>(to) = reinterpret_cast<const Type&>(value);
}
template <typename V, typename T>
__device__ inline void store_once(T* to, const V& value) {
  using Type = typename Word<sizeof(V)>::Type;
  __stcs(reinterpret_cast<Type*>(to), reinterpret_cast<const Type&>(value));
}

template <typename... P>
void start(const Stream& stream, const char* name, void (*kernel)(P...), const Grid& grid,
           std::tuple<P...> values) {
  std::apply(
      [&](auto&... value) {
        void* addresses[] = {const_cast<void*>(static_cast<const void*>(&value))..., nullptr};
        launch_call(stream, name, reinterpret_cast<const void*>(kernel), grid, addresses);
      },
      values);
}

}  // namespace names

// `count` values at `offset_bytes` of the block's dynamic shared memory, which is aligned to 16.
template <typename T>
__device__ inline T* dynamic_shared(size_t offset_bytes, size_t /*count*/) {
  extern __shared__ __align__(16) unsigned char saemill_dynamic_shared[];
  return reinterpret_cast<T*>(saemill_dynamic_shared + offset_bytes);
}

}  // namespace saemill::gpu
