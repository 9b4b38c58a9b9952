#include "fiber.h"

#include <sys/mman.h>

#include <cstdint>
#include <utility>

#include "common/base/error.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef __SANITIZE_THREAD__
#include <sanitizer/tsan_interface.h>
#endif

#ifndef __x86_64__
#error "the emulation switches stacks with x86-64 instructions"
#endif

// Stores the registers that a function must keep on this stack and goes on with another. swapcontext() would
// make two system calls, and AddressSanitizer's version of it clears the whole stack's state each time.
extern "C" void saemill_switch_stack(void** store, void* load);
asm(R"(
.pushsection .text
.hidden saemill_switch_stack
.globl saemill_switch_stack
.type saemill_switch_stack, @function
saemill_switch_stack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size saemill_switch_stack, . - saemill_switch_stack
.popsection
)");

namespace saemill::gpu::emulation {
namespace {

constexpr size_t kGuardBytes = 4096;
constexpr size_t kStackBytes = 256 << 10;
constexpr size_t kSavedRegisters = 6;

Fiber* running = nullptr;

#ifdef __SANITIZE_ADDRESS__
void start_switch(void** shadow, const void* bottom, size_t bytes) {
  __sanitizer_start_switch_fiber(shadow, bottom, bytes);
}
void finish_switch(void* shadow, const void** bottom, size_t* bytes) {
  __sanitizer_finish_switch_fiber(shadow, bottom, bytes);
}
#else
void start_switch(void**, const void*, size_t) {}
void finish_switch(void*, const void**, size_t*) {}
#endif

#ifdef __SANITIZE_THREAD__
void* create_context() {
  return __tsan_create_fiber(0);
}
void* this_context() {
  return __tsan_get_current_fiber();
}
void switch_context(void* context) {
  __tsan_switch_to_fiber(context, 0);
}
void destroy_context(void* context) {
  __tsan_destroy_fiber(context);
}
#else
void* create_context() {
  return nullptr;
}
void* this_context() {
  return nullptr;
}
void switch_context(void*) {}
void destroy_context(void*) {}
#endif

}  // namespace

Fiber::Fiber() {
  void* memory = mmap(nullptr, kGuardBytes + kStackBytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED || mprotect(memory, kGuardBytes, PROT_NONE) != 0)
    fail(ErrorCode::retry, "no memory for the stack of an emulated thread");
  memory_ = static_cast<std::byte*>(memory);
  // The frame that saemill_switch_stack expects: registers, its return address, and that of enter(): none.
  auto* top = reinterpret_cast<void**>(memory_ + kGuardBytes + kStackBytes);
  top[-2] = reinterpret_cast<void*>(&Fiber::enter);
  own_stack_ = top - 2 - kSavedRegisters;
  own_context_ = create_context();
}

Fiber::~Fiber() {
  destroy_context(own_context_);
  munmap(memory_, kGuardBytes + kStackBytes);
}

void Fiber::resume() {
  running = this;
  host_context_ = this_context();
  void* host_shadow = nullptr;
  start_switch(&host_shadow, memory_ + kGuardBytes, kStackBytes);
  switch_context(own_context_);
  saemill_switch_stack(&host_stack_, own_stack_);
  finish_switch(host_shadow, nullptr, nullptr);
  running = nullptr;
}

void Fiber::leave() {
  start_switch(&own_shadow_, host_bottom_, host_bytes_);
  switch_context(host_context_);
  saemill_switch_stack(&own_stack_, host_stack_);
  finish_switch(own_shadow_, &host_bottom_, &host_bytes_);
}

void Fiber::pause() {
  running->leave();
}

void Fiber::enter() {
  Fiber* self = running;
  finish_switch(nullptr, &self->host_bottom_, &self->host_bytes_);
  for (;;) {
    self->job_();
    self->leave();
  }
}

}  // namespace saemill::gpu::emulation
