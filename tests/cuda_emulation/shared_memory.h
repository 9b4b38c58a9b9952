// The shared memory of one block: exact allocations, so that AddressSanitizer sees what lies outside.
#pragma once

#include <cstddef>
#include <new>
#include <vector>

#include "order.h"

namespace saemill::gpu::emulation {

class SharedMemory {
 public:
  explicit SharedMemory(size_t dynamic_bytes) : dynamic_bytes_(dynamic_bytes) {
    if (dynamic_bytes > 0) dynamic_ = allocate(dynamic_bytes, kDynamicAlignment);
  }
  ~SharedMemory() {
    if (dynamic_) ::operator delete (dynamic_, std::align_val_t{kDynamicAlignment});
    for (const Variable& v : variables_) ::operator delete (v.memory, std::align_val_t{v.alignment});
  }
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;

  std::byte* dynamic() const { return dynamic_; }
  size_t dynamic_bytes() const { return dynamic_bytes_; }
  size_t static_bytes() const { return static_bytes_; }

  void* variable(const void* declaration, size_t bytes, size_t alignment) {
    for (const Variable& v : variables_)
      if (v.declaration == declaration) return v.memory;
    variables_.push_back({declaration, allocate(bytes, alignment), alignment});
    static_bytes_ += bytes;
    return variables_.back().memory;
  }

 private:
  struct Variable {
    const void* declaration;
    std::byte* memory;
    size_t alignment;
  };
  static constexpr size_t kDynamicAlignment = 16;  // what kernels may count on

  static std::byte* allocate(size_t bytes, size_t alignment) {
    auto* memory = static_cast<std::byte*>(::operator new (bytes, std::align_val_t{alignment}));
    poison(memory, bytes);
    return memory;
  }

  std::byte* dynamic_ = nullptr;
  size_t dynamic_bytes_ = 0;
  size_t static_bytes_ = 0;
  std::vector<Variable> variables_;
};

}  // namespace saemill::gpu::emulation
