#include "engine/train/arena.h"

#include <sys/mman.h>

#include <cerrno>
#include <cstring>

namespace saemill {
namespace {

constexpr size_t kPage = 4096;
constexpr int kMadvPopulateWrite = 23;  // Linux 5.14; glibc has the name in newer versions only

// Takes the pages now, so that a machine without enough memory says so at the start and not in mid-run, and
// what the run holds is what the plan says. `memory` lies on a page. Contents stay.
void populate(std::byte* memory, size_t bytes, const char* what) {
  if (bytes == 0 || ::madvise(memory, bytes, kMadvPopulateWrite) == 0) return;
  const int error = errno;
  if (error == EINVAL) return;  // an older kernel, which takes each page when it is first used
  fail(ErrorCode::retry, "no memory for {} bytes of {} buffers: {}", bytes, what, std::strerror(error));
}

}  // namespace

DType dtype_from_name(const std::string& name) {
  for (const DType dtype : {DType::u8, DType::i32, DType::i64, DType::bf16, DType::f32, DType::f64})
    if (name == dtype_name(dtype)) return dtype;
  fail(ErrorCode::internal, "no such type of element: {}", name);
}

void Unmap::operator()(std::byte* memory) const {
  ::munmap(memory, bytes);
}

Arena::Arena(const Plan& plan, Communicator& comm, Backend& backend, int64_t first_latent) {
  if (plan.memory == DeviceMemory::cpu)
    allocate_host(plan, comm);
  else
    allocate_gpu(plan, comm, backend, first_latent);
}

void Arena::allocate_gpu(const Plan& plan, Communicator& comm, Backend& backend, int64_t first_latent) {
  size_t device = 0, host = 0, shared = 0;
  const auto sum_for = [&](const PlannedBuffer& buffer) -> size_t& {
    return buffer.shared ? shared : buffer.host ? host : device;
  };
  for (const PlannedBuffer& buffer : plan.buffers)
    if (!buffer.of_backend) sum_for(buffer) += static_cast<size_t>(buffer.bytes());
  std::byte* next_shared = comm.allocate(shared);
  std::byte* next_host = backend.allocate_host(host);
  std::byte* next_device = backend.allocate(device);
  for (const PlannedBuffer& buffer : plan.buffers) {
    if (buffer.of_backend) continue;
    std::byte*& next = buffer.shared ? next_shared : buffer.host ? next_host : next_device;
    View view{next, dtype_from_name(buffer.dtype), buffer.rows, buffer.cols};
    next += buffer.bytes();
    if (!buffer.same_as.empty()) view.data = views_.at(buffer.same_as).data;
    if (buffer.owned_rows > 0) view.data -= static_cast<size_t>(first_latent) * view.row_bytes();
    views_[buffer.name] = view;
  }
}

void Arena::allocate_host(const Plan& plan, Communicator& comm) {
  const auto shared_bytes = static_cast<size_t>(plan.shared_bytes());
  std::byte* shared = comm.allocate(shared_bytes);
  size_t bytes = 0;
  for (const PlannedBuffer& buffer : plan.buffers)
    if (!buffer.shared && !buffer.of_backend) bytes += static_cast<size_t>(buffer.bytes());
  void* memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) fail(ErrorCode::retry, "no memory for {} bytes of buffers", bytes);
  private_memory_ = {static_cast<std::byte*>(memory), Unmap{bytes}};
  std::byte* own = private_memory_.get();
  populate(own, bytes, "private");
  const size_t ahead = reinterpret_cast<uintptr_t>(shared) % kPage;
  populate(shared - ahead, shared_bytes + ahead, "shared");
  for (const PlannedBuffer& buffer : plan.buffers) {
    if (buffer.of_backend) continue;
    std::byte*& next = buffer.shared ? shared : own;
    views_[buffer.name] = {next, dtype_from_name(buffer.dtype), buffer.rows, buffer.cols};
    next += buffer.bytes();
  }
}

void Arena::release(const std::string& name) {
  if (!private_memory_) return;  // of a GPU: pinned, and released with the backend
  // Whole pages inside the buffer; its neighbours share the others.
  const View view = (*this)[name];
  const auto begin = (reinterpret_cast<uintptr_t>(view.data) + kPage - 1) / kPage * kPage;
  const auto end = (reinterpret_cast<uintptr_t>(view.data) + view.bytes()) / kPage * kPage;
  if (view.data == nullptr || end <= begin) return;
  void* pages = reinterpret_cast<void*>(begin);
  // A segment shared by processes keeps pages that are merely unmapped; a private mapping has none to remove.
  if (::madvise(pages, end - begin, MADV_REMOVE) != 0) ::madvise(pages, end - begin, MADV_DONTNEED);
}

View Arena::operator[](const std::string& name) const {
  const auto it = views_.find(name);
  return it == views_.end() ? View{} : it->second;
}

}  // namespace saemill
