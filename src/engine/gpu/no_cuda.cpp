// The build has no CUDA: there are no devices, and everything else says so.
#include "common/base/error.h"
#include "engine/gpu/launch_call.h"
#include "engine/gpu/runtime.h"

namespace saemill::gpu {
namespace {

constexpr const char* kReason =
    "this saemill was built without CUDA (build it where CUDA's toolkit, 12.4 or later, is installed)";

[[noreturn]] void refuse() {
  throw Error(ErrorCode::bad_config, kReason);
}

}  // namespace

std::string unavailable() {
  return kReason;
}

const std::vector<Device>& devices() {
  static const std::vector<Device> kNone;
  return kNone;
}

void use_device(int) {
  refuse();
}
int current_device() {
  refuse();
}
MemoryInfo memory_info() {
  refuse();
}

Memory::Memory(size_t) {
  refuse();
}
Memory::~Memory() = default;
PinnedMemory::PinnedMemory(size_t) {
  refuse();
}
PinnedMemory::~PinnedMemory() = default;

Stream::Stream(Priority) {
  refuse();
}
Stream::~Stream() = default;
void Stream::synchronize() const {
  refuse();
}
void Stream::synchronize_within(double, const char*) const {
  refuse();
}
bool Stream::done() const {
  refuse();
}

Event::Event(Timing) {
  refuse();
}
Event::~Event() = default;
void Event::record(const Stream&) {
  refuse();
}
void Event::make_wait(const Stream&) const {
  refuse();
}
void Event::synchronize() const {
  refuse();
}
void Event::synchronize_within(double, const char*) const {
  refuse();
}
bool Event::done() const {
  refuse();
}
double elapsed_ms(const Event&, const Event&) {
  refuse();
}

void copy(void*, const void*, size_t, const Stream&) {
  refuse();
}
void copy_and_wait(void*, const void*, size_t, const Stream&) {
  refuse();
}
void fill(void*, unsigned char, size_t, const Stream&) {
  refuse();
}

Graph::Graph(const Stream&, const std::function<void()>&) {
  refuse();
}
Graph::~Graph() = default;
void Graph::launch(const Stream&) const {
  refuse();
}

void launch_call(const Stream&, const char*, const void*, const Grid&, void**) {
  refuse();
}

}  // namespace saemill::gpu
