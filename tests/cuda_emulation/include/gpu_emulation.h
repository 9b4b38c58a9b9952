// The part of CUDA's language that saemill's kernels use, for a host compiler. Included through
// engine/gpu/kernel.h; threads.h runs the threads. The names in the global namespace are CUDA's.
#pragma once

#include <bit>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <source_location>
#include <string>
#include <tuple>
#include <type_traits>

#include "engine/gpu/launch_call.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)

// The address of the first variable says which declaration this is; all threads of a block get the same
// memory.
#define SAEMILL_SHARED(type, name, count)            \
  static const char name##_declaration = 0;          \
  type(&name)[count] = *static_cast<type(*)[count]>( \
      saemill::gpu::emulation::static_shared(&name##_declaration, sizeof(type[count]), alignof(type)))

struct uint3 {
  unsigned x = 0, y = 0, z = 0;
};
struct dim3 {
  unsigned x = 1, y = 1, z = 1;
};

extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;
constexpr int warpSize = 32;

namespace saemill::gpu::emulation {

using Where = std::source_location;

// Of the running block; Error where it does not fit the device.
void* static_shared(const void* declaration, size_t bytes, size_t alignment);
std::byte* dynamic_shared(size_t offset, size_t bytes, size_t alignment);

// Throws an Error that names kernel, block and thread.
[[noreturn]] void fault(const std::string& message);
void check_alignment(const void* pointer, size_t bytes);

// All threads of the block; returns for how many of them `value` is true.
int wait_for_block(bool value, const char* function, const Where& where);
// The lanes in `mask`; each gives a value and gets that of the lane `source`.
uint64_t shuffle(unsigned mask, uint64_t value, unsigned source, const char* function, const Where& where);
// The same; each gets a bit for every lane whose value is true.
unsigned vote(unsigned mask, bool value, const char* function, const Where& where);

void check_argument(const char* kernel, size_t position, const void* pointer);
void start(const Stream& stream, const char* kernel, const Grid& grid, std::function<void()> thread);

template <typename T>
T exchange(unsigned mask, T value, unsigned source, const char* function, const Where& where) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8);
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  bits = shuffle(mask, bits, source, function, where);
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

inline unsigned lane() {
  return threadIdx.x % 32;
}

template <typename T>
concept AtomicInteger =
    std::same_as<T, int> || std::same_as<T, unsigned> || std::same_as<T, unsigned long long>;
template <typename T>
concept AtomicNumber = AtomicInteger<T> || std::same_as<T, float> || std::same_as<T, double>;

// Threads change only where they wait, so nothing comes between the read and the write.
template <typename T, typename Change>
T atomically(T* at, Change&& change) {
  check_alignment(at, sizeof(T));
  const T old = *at;
  *at = change(old);
  return old;
}

}  // namespace saemill::gpu::emulation

namespace saemill::gpu {
namespace names {

template <typename V, typename T>
V load(const T* from) {
  emulation::check_alignment(from, sizeof(V));
  V value;
  std::memcpy(&value, from, sizeof value);
  return value;
}
template <typename V, typename T>
V load_once(const T* from) {
  return load<V>(from);
}
template <typename V, typename T>
void store(T* to, const V& value) {
  emulation::check_alignment(to, sizeof(V));
  std::memcpy(to, &value, sizeof value);
}
template <typename V, typename T>
void store_once(T* to, const V& value) {
  store(to, value);
}

template <typename... P>
void start(const Stream& stream, const char* name, void (*kernel)(P...), const Grid& grid,
           std::tuple<P...> values) {
  size_t position = 0;
  const auto check = [&](const auto& value) {
    ++position;
    if constexpr (std::is_pointer_v<std::decay_t<decltype(value)>>)
      emulation::check_argument(name, position, static_cast<const void*>(value));
  };
  std::apply([&](const auto&... value) { (check(value), ...); }, values);
  emulation::start(stream, name, grid, [kernel, values] { std::apply(kernel, values); });
}

}  // namespace names

template <typename T>
T* dynamic_shared(size_t offset_bytes, size_t count) {
  return reinterpret_cast<T*>(emulation::dynamic_shared(offset_bytes, count * sizeof(T), alignof(T)));
}

}  // namespace saemill::gpu

#include <gpu_emulation_intrinsics.h>
