// A stack of its own on which one thread of a block runs. One fiber runs at a time; not thread-safe.
#pragma once

#include <cstddef>
#include <functional>

namespace saemill::gpu::emulation {

class Fiber {
 public:
  Fiber();
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // What the next resume() begins; the one before must have returned. It must not throw.
  void give(std::function<void()> job) { job_ = std::move(job); }
  // Runs until the job returns or calls pause().
  void resume();
  // Only on a fiber: goes back to the caller of resume().
  static void pause();

 private:
  static void enter();
  void leave();

  std::function<void()> job_;
  std::byte* memory_ = nullptr;
  void* own_stack_ = nullptr;   // stack pointer while not running
  void* host_stack_ = nullptr;  // stack pointer of the caller of resume() while running
  // What sanitizers want to know of the two stacks.
  void* own_shadow_ = nullptr;
  const void* host_bottom_ = nullptr;
  size_t host_bytes_ = 0;
  void* own_context_ = nullptr;
  void* host_context_ = nullptr;
};

}  // namespace saemill::gpu::emulation
