// A typed, non-owning, row-major matrix in some backend's memory.
#pragma once

#include <cstddef>
#include <cstdint>

#include "common/base/error.h"

namespace saemill {

enum class DType { u8, i32, i64, bf16, f32, f64 };

constexpr size_t dtype_size(DType dtype) {
  switch (dtype) {
    case DType::u8:
      return 1;
    case DType::bf16:
      return 2;
    case DType::i32:
    case DType::f32:
      return 4;
    default:
      return 8;
  }
}

constexpr const char* dtype_name(DType dtype) {
  constexpr const char* kNames[] = {"U8", "I32", "I64", "BF16", "F32", "F64"};
  return kNames[static_cast<int>(dtype)];
}

struct BFloat16 {
  uint16_t bits;
};

template <typename T>
constexpr DType dtype_of();
template <>
constexpr DType dtype_of<std::byte>() {
  return DType::u8;
}
template <>
constexpr DType dtype_of<int32_t>() {
  return DType::i32;
}
template <>
constexpr DType dtype_of<int64_t>() {
  return DType::i64;
}
template <>
constexpr DType dtype_of<BFloat16>() {
  return DType::bf16;
}
template <>
constexpr DType dtype_of<float>() {
  return DType::f32;
}
template <>
constexpr DType dtype_of<double>() {
  return DType::f64;
}

// rows * cols elements; a vector has one row. Empty (data == nullptr) where a task has no such operand.
struct View {
  std::byte* data = nullptr;
  DType dtype = DType::u8;
  int64_t rows = 0;
  int64_t cols = 0;

  explicit operator bool() const { return data != nullptr; }
  size_t row_bytes() const { return static_cast<size_t>(cols) * dtype_size(dtype); }
  size_t bytes() const { return static_cast<size_t>(rows) * row_bytes(); }

  template <typename T>
  T* as() const {
    ensure(dtype == dtype_of<T>(), "a view is read as another type than it has");
    return reinterpret_cast<T*>(data);
  }
  template <typename T>
  T* row(int64_t r) const {
    return as<T>() + r * cols;
  }
  View slice(int64_t first, int64_t last) const {
    ensure(0 <= first && first <= last && last <= rows, "a slice lies outside its view");
    return {data ? data + static_cast<size_t>(first) * row_bytes() : nullptr, dtype, last - first, cols};
  }
};

}  // namespace saemill
