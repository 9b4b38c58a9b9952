#include "engine/train/arena.h"

#include <sys/mman.h>

namespace saemill {

DType dtype_from_name(const std::string& name) {
  for (const DType dtype : {DType::u8, DType::i32, DType::i64, DType::bf16, DType::f32, DType::f64})
    if (name == dtype_name(dtype)) return dtype;
  fail(ErrorCode::internal, "no such type of element: {}", name);
}

void Unmap::operator()(std::byte* memory) const {
  ::munmap(memory, bytes);
}

Arena::Arena(const Plan& plan, Communicator& comm) {
  std::byte* shared = comm.allocate(static_cast<size_t>(plan.shared_bytes()));
  // Mapped, not allocated: pages that a run never touches cost nothing.
  const auto bytes = static_cast<size_t>(plan.bytes_per_rank());
  void* memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) fail(ErrorCode::retry, "no memory for {} bytes of buffers", bytes);
  private_memory_ = {static_cast<std::byte*>(memory), Unmap{bytes}};
  std::byte* own = private_memory_.get();
  for (const PlannedBuffer& buffer : plan.buffers) {
    std::byte*& next = buffer.shared ? shared : own;
    if (buffer.category != "scratch")
      views_[buffer.name] = {next, dtype_from_name(buffer.dtype), buffer.rows, buffer.cols};
    next += buffer.bytes();
  }
}

View Arena::operator[](const std::string& name) const {
  const auto it = views_.find(name);
  return it == views_.end() ? View{} : it->second;
}

}  // namespace saemill
