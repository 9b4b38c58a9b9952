#include "block.h"

#include <fmt/format.h>

#include <cstring>
#include <exception>
#include <memory>
#include <vector>

#include "common/base/error.h"
#include "fiber.h"
#include "gpu_emulation.h"
#include "shared_memory.h"

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace saemill::gpu::emulation {
namespace {

enum class State { fresh, ready, waits_for_block, waits_for_lanes, returned };

struct Thread {
  State state = State::fresh;
  const char* function = "";  // that it waits in
  Where where{};
  unsigned mask = 0;
  unsigned source = 0;
  uint64_t value = 0;   // given
  uint64_t result = 0;  // got
};

// Thrown in threads that wait when another one has failed, so that their stacks unwind.
struct Abandoned {};

constexpr unsigned kVote = 0xffffffffu;  // as a source: a bit for each lane
constexpr unsigned kWarpLanes = 32;

struct Block {
  Block(const std::string& kernel_name, const Grid& grid, size_t limit)
      : kernel(kernel_name), shared(grid.shared_bytes), shared_limit(limit) {
    threads.resize(static_cast<size_t>(grid.threads));
  }

  const std::string& kernel;
  SharedMemory shared;
  size_t shared_limit;
  std::vector<Thread> threads;
  uint32_t current = 0;
  size_t at_barrier = 0;
  bool abandoned = false;
  std::exception_ptr error;
};

Block* running = nullptr;

std::vector<std::unique_ptr<Fiber>>& fibers() {
  static std::vector<std::unique_ptr<Fiber>> pool;
  return pool;
}

std::string block_text() {
  return fmt::format("kernel {}, block ({}, {}, {})", running->kernel, blockIdx.x, blockIdx.y, blockIdx.z);
}

std::string describe(const Thread& thread, bool one) {
  const char* wait = one ? "waits" : "wait";
  const char* file = thread.where.file_name();
  switch (thread.state) {
    case State::waits_for_block:
      return fmt::format("{} in {} at {}:{}", wait, thread.function, file, thread.where.line());
    case State::waits_for_lanes:
      return fmt::format("{} in {}(mask {:#010x}) at {}:{}", wait, thread.function, thread.mask, file,
                         thread.where.line());
    case State::returned:
      return one ? "has returned" : "have returned";
    default:
      return one ? "runs" : "run";
  }
}

// "threads 0-31 have returned; threads 32-63 wait in __syncthreads at ..."
std::string describe_threads() {
  std::string text;
  const auto& threads = running->threads;
  for (size_t first = 0, last = 0; first < threads.size(); first = last + 1) {
    const std::string what = describe(threads[first], false);
    for (last = first; last + 1 < threads.size() && describe(threads[last + 1], false) == what;) ++last;
    if (!text.empty()) text += "; ";
    text += first == last ? fmt::format("thread {} {}", first, describe(threads[first], true))
                          : fmt::format("threads {}-{} {}", first, last, what);
  }
  return text;
}

void run_thread(const std::function<void()>& thread) {
  try {
    thread();
  } catch (const Abandoned&) {
  } catch (...) {
    if (!running->error) running->error = std::current_exception();
  }
  running->threads[running->current].state = State::returned;
}

void resume(uint32_t index) {
  running->current = index;
  threadIdx = {index, 0, 0};
  fibers()[index]->resume();
}

void wait(Thread& self, State state) {
  self.state = state;
  Fiber::pause();
  if (running->abandoned) throw Abandoned{};
}

// Also the threads that wait inside are ended, else their stacks could not be used again.
void abandon() {
  running->abandoned = true;
  for (uint32_t i = 0; i < running->threads.size(); ++i)
    if (running->threads[i].state != State::fresh && running->threads[i].state != State::returned) resume(i);
}

void run_threads(const std::vector<uint32_t>& order, const std::function<void()>& thread) {
  for (bool left = true; left;) {
    left = false;
    bool moved = false;
    for (const uint32_t index : order) {
      Thread& t = running->threads[index];
      if (t.state == State::fresh) fibers()[index]->give([&thread] { run_thread(thread); });
      if (t.state == State::fresh || t.state == State::ready) {
        t.state = State::ready;
        resume(index);
        moved = true;
        if (running->error) return;
      }
      left = left || t.state != State::returned;
    }
    if (left && !moved)
      fail(ErrorCode::internal, "{}: threads wait for others that do not come: {}", block_text(),
           describe_threads());
  }
}

void run_block(const std::string& name, const Grid& grid, const std::vector<uint32_t>& order,
               const std::function<void()>& thread, size_t shared_limit) {
  Block block(name, grid, shared_limit);
  running = &block;
  try {
    run_threads(order, thread);
  } catch (...) {
    block.error = std::current_exception();
  }
  if (block.error) abandon();
  running = nullptr;
  if (block.error) std::rethrow_exception(block.error);
}

bool same(const char* a, const char* b) {
  return a == b || std::strcmp(a, b) == 0;
}

// All threads of the block have come: they go on together.
void release_block() {
  Block& block = *running;
  block.at_barrier = 0;
  int count = 0;
  for (const Thread& t : block.threads) {
    const Thread& other = block.threads[0];
    if (t.where.line() != other.where.line() || !same(t.function, other.function))
      fail(ErrorCode::internal, "{}: threads are at different barriers: {}", block_text(),
           describe_threads());
    count += t.value != 0;
  }
  for (Thread& t : block.threads) {
    t.result = static_cast<uint64_t>(count);
    t.state = State::ready;
  }
}

bool waits_with(const Thread& other, const Thread& self) {
  return other.state == State::waits_for_lanes && other.mask == self.mask &&
         same(other.function, self.function);
}

// Where all lanes that the mask names have come: each gets what it asked for.
void release_lanes(const Thread& self) {
  const size_t first = running->current / kWarpLanes * kWarpLanes;
  uint64_t ballot = 0;
  for (unsigned lane = 0; lane < kWarpLanes; ++lane) {
    if ((self.mask >> lane & 1u) == 0) continue;
    if (first + lane >= running->threads.size() || !waits_with(running->threads[first + lane], self)) return;
    if (running->threads[first + lane].value != 0) ballot |= uint64_t{1} << lane;
  }
  uint64_t unnamed = 0;  // what a lane outside of the mask would give
  poison(&unnamed, sizeof unnamed);
  const unsigned mask = self.mask;
  for (unsigned lane = 0; lane < kWarpLanes; ++lane) {
    if ((mask >> lane & 1u) == 0) continue;
    Thread& t = running->threads[first + lane];
    const bool named = t.source != kVote && (mask >> (t.source % kWarpLanes) & 1u) != 0;
    t.result = t.source == kVote ? ballot
               : named           ? running->threads[first + t.source % kWarpLanes].value
                                 : unnamed;
    t.state = State::ready;
  }
}

uint64_t wait_for_lanes(unsigned mask, uint64_t value, unsigned source, const char* function,
                        const Where& where) {
  Thread& self = running->threads[running->current];
  if ((mask >> lane() & 1u) == 0)
    fault(fmt::format("{} at {}:{} with mask {:#010x}, which does not name its own lane", function,
                      where.file_name(), where.line(), mask));
  self.function = function;
  self.where = where;
  self.mask = mask;
  self.value = value;
  self.source = source;
  self.state = State::waits_for_lanes;
  release_lanes(self);
  if (self.state != State::ready) wait(self, State::waits_for_lanes);
  return self.result;
}

}  // namespace

void fault(const std::string& message) {
  if (!running) throw Error(ErrorCode::internal, "outside of a kernel: " + message);
  fail(ErrorCode::internal, "{}, thread {}: {}", block_text(), running->current, message);
}

void check_alignment(const void* pointer, size_t bytes) {
  if (reinterpret_cast<uintptr_t>(pointer) % bytes != 0)
    fault(fmt::format("an access of {} bytes at {}, which is not aligned to it", bytes, pointer));
}

void* static_shared(const void* declaration, size_t bytes, size_t alignment) {
  if (!running) fault("shared memory is used");
  SharedMemory& shared = running->shared;
  void* memory = shared.variable(declaration, bytes, alignment);
  if (shared.static_bytes() > kMaxStaticShared)
    fault(fmt::format("{} bytes of static shared memory, at most {} are possible", shared.static_bytes(),
                      kMaxStaticShared));
  const size_t limit = asks_for_shared(shared.dynamic_bytes()) ? running->shared_limit : kMaxStaticShared;
  if (shared.static_bytes() + shared.dynamic_bytes() > limit)
    fault(fmt::format("{} bytes of static and {} of dynamic shared memory, this launch has {} for a block",
                      shared.static_bytes(), shared.dynamic_bytes(), limit));
  return memory;
}

std::byte* dynamic_shared(size_t offset, size_t bytes, size_t alignment) {
  if (!running) fault("shared memory is used");
  if (offset + bytes > running->shared.dynamic_bytes())
    fault(fmt::format("{} bytes at {} of dynamic shared memory, the launch gave {}", bytes, offset,
                      running->shared.dynamic_bytes()));
  if (offset % alignment != 0)
    fault(fmt::format("offset {} in dynamic shared memory is not aligned to {}", offset, alignment));
  return running->shared.dynamic() + offset;
}

int wait_for_block(bool value, const char* function, const Where& where) {
  Thread& self = running->threads[running->current];
  self.function = function;
  self.where = where;
  self.value = value;
  self.state = State::waits_for_block;
  if (++running->at_barrier == running->threads.size()) release_block();
  if (self.state != State::ready) wait(self, State::waits_for_block);
  return static_cast<int>(self.result);
}

uint64_t shuffle(unsigned mask, uint64_t value, unsigned source, const char* function, const Where& where) {
  return wait_for_lanes(mask, value, source, function, where);
}

unsigned vote(unsigned mask, bool value, const char* function, const Where& where) {
  return static_cast<unsigned>(wait_for_lanes(mask, value, kVote, function, where));
}

void run_kernel(const std::string& name, const Grid& grid, const std::function<void()>& thread,
                size_t device_shared_bytes) {
  static uint64_t launches = 0;
  const uint64_t salt = ++launches;
  const auto side = [](int64_t n) { return static_cast<unsigned>(n); };
  const unsigned x = side(grid.blocks.x), y = side(grid.blocks.y), z = side(grid.blocks.z);
  while (fibers().size() < static_cast<size_t>(grid.threads)) fibers().push_back(std::make_unique<Fiber>());
  gridDim = {x, y, z};
  blockDim = {side(grid.threads), 1, 1};
  for (const uint32_t b : order_of(size_t{x} * y * z, salt)) {
    blockIdx = {b % x, b / x % y, b / x / y};
    run_block(name, grid, order_of(static_cast<size_t>(grid.threads), salt * 31 + b), thread,
              device_shared_bytes);
  }
}

}  // namespace saemill::gpu::emulation
