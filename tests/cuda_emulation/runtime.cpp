// engine/gpu/runtime.h on the CPU, without graphs.
#include "engine/gpu/runtime.h"

#include <cstring>

#include "block.h"
#include "common/base/clock.h"
#include "common/base/error.h"
#include "engine/gpu/poll.h"
#include "gpu_emulation.h"
#include "gpu_emulation_control.h"
#include "machine.h"

namespace saemill::gpu {
namespace emulation {
namespace {

void check_reachable(const char* operation, const void* data, size_t bytes, bool device_only) {
  const Range* range = machine().find(data, bytes);
  if (!range || (device_only && range->pinned))
    misuse(operation, fmt::format("{} bytes at {} are not inside one allocation of {} memory", bytes, data,
                                  device_only ? "device" : "device or pinned"));
}

}  // namespace

StreamState* state(const Stream& stream) {
  ensure(stream.native() != nullptr, "a stream is used that was moved from");
  return static_cast<StreamState*>(stream.native());
}

EventState* state(const Event& event) {
  return static_cast<EventState*>(event.native());
}

void start(const Stream& stream, const char* kernel, const Grid& grid, std::function<void()> thread) {
  const size_t shared_bytes = devices()[static_cast<size_t>(this_device())].shared_bytes;
  if (!check_grid(kernel, grid, shared_bytes)) return;
  const std::string name = kernel;
  machine().enqueue(state(stream), name, [name, grid, shared_bytes, thread = std::move(thread)] {
    run_kernel(name, grid, thread, shared_bytes);
  });
}

void enqueue(const Stream& stream, const std::string& name, std::function<void()> work) {
  machine().enqueue(state(stream), name, std::move(work));
}

void enqueue_native(void* stream, const std::string& name, std::function<void()> work) {
  machine().enqueue(static_cast<StreamState*>(stream), name, std::move(work));
}

}  // namespace emulation

using emulation::machine;
using emulation::misuse;
using emulation::refuse_in_capture;

Memory::Memory(size_t bytes) : bytes_(bytes) {
  if (bytes > 0) data_ = machine().allocate(bytes, false);
}
Memory::~Memory() {
  if (data_) machine().release(data_, false);
}

PinnedMemory::PinnedMemory(size_t bytes) : bytes_(bytes) {
  if (bytes > 0) data_ = machine().allocate(bytes, true);
}
PinnedMemory::~PinnedMemory() {
  if (data_) machine().release(data_, true);
}

Stream::Stream(Priority) {
  auto* state = new emulation::StreamState;
  state->device = emulation::this_device();
  handle_ = state;
}

Stream::~Stream() {
  if (!handle_) return;
  std::lock_guard guard(machine().lock());
  emulation::StreamState* state = emulation::state(*this);
  if (state->capture) {
    std::erase(state->capture->streams, state);
    state->capture->misuse = "a stream is destroyed";
  }
  delete state;
}

void Stream::synchronize() const {
  refuse_in_capture("waiting for a stream");
  std::lock_guard guard(machine().lock());
  if (emulation::state(*this)->capture) misuse("waiting for a stream", "it records a graph");
  machine().run_until(emulation::state(*this)->tails);
}

void Stream::synchronize_within(double seconds, const char* what) const {
  poll([this] { return done(); }, seconds, what);
}

bool Stream::done() const {
  refuse_in_capture("asking a stream");
  std::lock_guard guard(machine().lock());
  if (emulation::state(*this)->capture) misuse("asking a stream", "it records a graph");
  return machine().run_one_and_ask(emulation::state(*this)->tails);
}

Event::Event(Timing timing) {
  auto* state = new emulation::EventState;
  state->device = emulation::this_device();
  state->timed = timing == Timing::on;
  handle_ = state;
}

Event::~Event() {
  delete emulation::state(*this);
}

void Event::record(const Stream& stream) {
  std::lock_guard guard(machine().lock());
  emulation::EventState* event = emulation::state(*this);
  if (event->device != emulation::state(stream)->device)
    misuse("recording an event", fmt::format("it is one of GPU {}", event->device));
  event->capture = emulation::state(stream)->capture;
  event->seconds = std::make_shared<double>(0.0);
  std::function<void()> mark = [seconds = event->seconds] { *seconds = monotonic_seconds(); };
  if (event->capture) mark = nullptr;
  machine().enqueue(emulation::state(stream), "recording an event", std::move(mark));
  event->mark = emulation::state(stream)->tails.back();
}

void Event::make_wait(const Stream& stream) const {
  const char* operation = "making a stream wait for an event";
  std::lock_guard guard(machine().lock());
  const emulation::EventState* event = emulation::state(*this);
  emulation::StreamState* waiting = emulation::state(stream);
  if (!event->mark) return;
  if (event->capture && !event->capture->active) misuse(operation, "it was recorded in a graph");
  if (waiting->capture && waiting->capture != event->capture)
    misuse(operation, "the stream records a graph and the event is outside of it");
  if (event->capture && !waiting->capture) {  // the stream joins the recording
    waiting->capture = event->capture;
    waiting->capture->streams.push_back(waiting);
    waiting->tails_before_capture = std::move(waiting->tails);
    waiting->tails.clear();
  }
  waiting->tails.push_back(event->mark);
}

void Event::synchronize() const {
  refuse_in_capture("waiting for an event");
  std::lock_guard guard(machine().lock());
  if (emulation::state(*this)->capture) misuse("waiting for an event", "it was recorded in a graph");
  if (emulation::state(*this)->mark) machine().run_until({emulation::state(*this)->mark});
}

void Event::synchronize_within(double seconds, const char* what) const {
  poll([this] { return done(); }, seconds, what);
}

bool Event::done() const {
  refuse_in_capture("asking an event");
  std::lock_guard guard(machine().lock());
  if (emulation::state(*this)->capture) misuse("asking an event", "it was recorded in a graph");
  return !emulation::state(*this)->mark || machine().run_one_and_ask({emulation::state(*this)->mark});
}

double elapsed_ms(const Event& start, const Event& end) {
  const char* operation = "measuring between two events";
  std::lock_guard guard(machine().lock());
  for (const emulation::EventState* event : {emulation::state(start), emulation::state(end)}) {
    if (!event->timed || !event->mark || event->capture)
      misuse(operation, "one is not timed, not recorded or recorded in a graph");
    if (!event->mark->done) misuse(operation, "cudaErrorNotReady (its stream has not come there)");
  }
  return (*emulation::state(end)->seconds - *emulation::state(start)->seconds) * 1e3;
}

void copy(void* dst, const void* src, size_t bytes, const Stream& stream) {
  if (bytes == 0) return;
  emulation::check_reachable("copying to", dst, bytes, false);
  emulation::check_reachable("copying from", src, bytes, false);
  machine().enqueue(emulation::state(stream), "copying", [=] { std::memmove(dst, src, bytes); });
}

void copy_and_wait(void* dst, const void* src, size_t bytes, const Stream& stream) {
  refuse_in_capture("copying");
  machine().enqueue(emulation::state(stream), "copying", [=] {
    if (bytes > 0) std::memmove(dst, src, bytes);
  });
  stream.synchronize();
}

void fill(void* dst, unsigned char byte, size_t bytes, const Stream& stream) {
  if (bytes == 0) return;
  emulation::check_reachable("filling", dst, bytes, true);
  machine().enqueue(emulation::state(stream), "filling", [=] { std::memset(dst, byte, bytes); });
}

}  // namespace saemill::gpu
