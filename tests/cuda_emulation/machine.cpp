#include "machine.h"

#include <cstdio>
#include <new>

#include "common/base/error.h"
#include "gpu_emulation.h"
#include "order.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#endif

namespace saemill::gpu::emulation {
namespace {

constexpr std::align_val_t kAlignment{256};
#ifdef __SANITIZE_ADDRESS__
constexpr size_t kGap = 0;  // AddressSanitizer keeps its own, right behind the last byte
#else
constexpr size_t kGap = 256;  // the end of one allocation is not the start of other memory
#endif

void rethrow_failure(const std::vector<WorkPtr>& work) {
  for (const WorkPtr& w : work)
    if (w->error) std::rethrow_exception(w->error);
}

bool all_done(const std::vector<WorkPtr>& work) {
  for (const WorkPtr& w : work)
    if (!w->done) return false;
  return true;
}

// For a failure that perhaps nobody waits for.
void report(const Work& work) {
  try {
    std::rethrow_exception(work.error);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "emulated GPU: %s: %s\n", work.name.c_str(), error.what());
  }
}

// Device memory can be touched only while work runs: under AddressSanitizer a host that does so is found.
void hide([[maybe_unused]] const std::byte* data, [[maybe_unused]] const Range& range,
          [[maybe_unused]] bool hidden) {
#ifdef __SANITIZE_ADDRESS__
  if (range.pinned) return;
  if (hidden) {
    ASAN_POISON_MEMORY_REGION(data, range.bytes);
  } else {
    ASAN_UNPOISON_MEMORY_REGION(data, range.bytes);
  }
#endif
}

}  // namespace

Machine& machine() {
  static Machine* value = new Machine;  // streams of static duration may outlive any order of destruction
  return *value;
}

void misuse(const std::string& operation, const std::string& what) {
  fail(ErrorCode::internal, "{} failed on GPU {} ({}): {}", operation, this_device(),
       devices()[static_cast<size_t>(this_device())].uuid, what);
}

void refuse_in_capture(const char* operation) {
  if (this_capture()) misuse(operation, "not possible while a graph is recorded");
}

std::byte* Machine::allocate(size_t bytes, bool pinned) {
  std::lock_guard guard(lock_);
  const char* kind = pinned ? "pinned" : "device";
  const std::string operation = fmt::format("allocating {} bytes of {} memory", bytes, kind);
  refuse_in_capture(operation.c_str());
  const MemoryInfo info = memory_info();
  if (!pinned && bytes > info.free_bytes)
    fail(ErrorCode::retry, "{} failed on GPU {}: cudaErrorMemoryAllocation (out of memory)", operation,
         this_device());
  auto* data = static_cast<std::byte*>(::operator new(bytes + kGap, kAlignment));
  poison(data, bytes);
  const Range range{bytes, pinned, this_device()};
  ranges_[data] = range;
  hide(data, range, true);
  return data;
}

void Machine::release(std::byte* data, bool pinned) {
  std::lock_guard guard(lock_);
  if (this_capture()) {
    this_capture()->misuse = fmt::format("{} memory is freed", pinned ? "pinned" : "device");
  } else {
    finish_all();
  }
  hide(data, ranges_.at(data), false);
  ranges_.erase(data);
  ::operator delete(data, kAlignment);
}

const Range* Machine::find(const void* data, size_t bytes) const {
  std::lock_guard guard(lock_);
  const auto* at = static_cast<const std::byte*>(data);
  auto next = ranges_.upper_bound(at);
  if (next == ranges_.begin()) return nullptr;
  --next;
  return at + bytes <= next->first + next->second.bytes ? &next->second : nullptr;
}

MemoryInfo Machine::memory_info() const {
  std::lock_guard guard(lock_);
  size_t used = 0;
  for (const auto& [data, range] : ranges_)
    if (!range.pinned && range.device == this_device()) used += range.bytes;
  const size_t total = devices()[static_cast<size_t>(this_device())].memory_bytes;
  return {total - used, total};
}

void Machine::hide_memory(bool hidden) const {
  for (const auto& [data, range] : ranges_) hide(data, range, hidden);
}

void Machine::enqueue(StreamState* stream, const std::string& name, std::function<void()> run) {
  std::lock_guard guard(lock_);
  if (stream->device != this_device())
    misuse(name, fmt::format("the stream is one of GPU {}", stream->device));
  auto work = std::make_shared<Work>();
  work->name = name;
  work->run = std::move(run);
  work->after = stream->tails;
  stream->tails = {work};
  if (stream->capture) {
    stream->capture->nodes.push_back(work);
  } else {
    pending_.push_back(work);
  }
}

void Machine::enqueue(const WorkPtr& work) {
  std::lock_guard guard(lock_);
  pending_.push_back(work);
}

WorkPtr Machine::run_one() {
  std::vector<size_t> ready;
  for (size_t i = 0; i < pending_.size(); ++i)
    if (all_done(pending_[i]->after)) ready.push_back(i);
  ensure(!ready.empty(), "emulated work waits for itself");
  const size_t chosen = ready[choose(ready.size(), ++steps_)];
  const WorkPtr work = pending_[chosen];
  pending_.erase(pending_.begin() + static_cast<std::ptrdiff_t>(chosen));
  try {
    rethrow_failure(work->after);
    if (work->run) work->run();
  } catch (...) {
    work->error = std::current_exception();
  }
  work->done = true;
  work->after.clear();
  work->run = nullptr;
  return work;
}

void Machine::run_until(const std::vector<WorkPtr>& work) {
  std::lock_guard guard(lock_);
  hide_memory(false);
  while (!all_done(work)) run_one();
  hide_memory(true);
  rethrow_failure(work);
}

bool Machine::run_one_and_ask(const std::vector<WorkPtr>& work) {
  std::lock_guard guard(lock_);
  if (!all_done(work)) {
    hide_memory(false);
    run_one();
    hide_memory(true);
    if (!all_done(work)) return false;
  }
  rethrow_failure(work);
  return true;
}

void Machine::finish_all() {
  std::lock_guard guard(lock_);
  hide_memory(false);
  while (!pending_.empty()) {
    const WorkPtr work = run_one();
    if (work->error) report(*work);
  }
  hide_memory(true);
}

void check_argument(const char* kernel, size_t position, const void* pointer) {
  if (!pointer) return;
  std::lock_guard guard(machine().lock());
  const Range* range = machine().find(pointer, 0);
  if (!range)
    misuse(fmt::format("launching kernel {}", kernel),
           fmt::format("argument {} points to host memory, which kernels cannot reach", position));
  if (!range->pinned && range->device != this_device())
    misuse(fmt::format("launching kernel {}", kernel),
           fmt::format("argument {} points to memory of GPU {}", position, range->device));
}

}  // namespace saemill::gpu::emulation
