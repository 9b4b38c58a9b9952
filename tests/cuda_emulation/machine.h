// The emulated machine: devices, their memory, and the work that streams hold. Work runs only where the host
// waits.
#pragma once

#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "engine/gpu/runtime.h"

namespace saemill::gpu::emulation {

// One thing that a stream does, after others.
struct Work {
  std::string name;
  std::function<void()> run;
  std::vector<std::shared_ptr<Work>> after;
  bool done = false;
  std::exception_ptr error;  // its own, or that of what it came after
};
using WorkPtr = std::shared_ptr<Work>;

struct StreamState;

// A recording of a graph: nothing of it runs.
struct Capture {
  std::vector<WorkPtr> nodes;
  std::vector<StreamState*> streams;  // the first one began it
  std::string misuse;                 // found where no error could be thrown
  bool active = true;
};

struct StreamState {
  int device = 0;
  std::vector<WorkPtr> tails;  // what the next work comes after
  std::shared_ptr<Capture> capture;
  std::vector<WorkPtr> tails_before_capture;
};

struct EventState {
  int device = 0;
  bool timed = false;
  WorkPtr mark;
  std::shared_ptr<double> seconds;  // when the mark was reached
  std::shared_ptr<Capture> capture;
};

struct Range {
  size_t bytes = 0;
  bool pinned = false;
  int device = 0;
};

// Every member function takes the lock for itself.
class Machine {
 public:
  std::byte* allocate(size_t bytes, bool pinned);
  void release(std::byte* data, bool pinned);
  // The range that holds all of [data, data + bytes), null where none does.
  const Range* find(const void* data, size_t bytes) const;
  MemoryInfo memory_info() const;

  void enqueue(StreamState* stream, const std::string& name, std::function<void()> run);
  void enqueue(const WorkPtr& work);
  void run_until(const std::vector<WorkPtr>& work);  // throws what one of them failed with
  bool run_one_and_ask(const std::vector<WorkPtr>& work);
  void finish_all();  // what fails stays in the work

  std::recursive_mutex& lock() const { return lock_; }

 private:
  WorkPtr run_one();
  void hide_memory(bool hidden) const;

  mutable std::recursive_mutex lock_;
  std::map<const std::byte*, Range> ranges_;
  std::vector<WorkPtr> pending_;  // oldest first
  uint64_t steps_ = 0;
};

Machine& machine();

int this_device();  // of the calling thread
std::shared_ptr<Capture>& this_capture();
// Error that names the operation where the calling thread records a graph.
void refuse_in_capture(const char* operation);

// Error{internal} in the words of throw_cuda_error.
[[noreturn]] void misuse(const std::string& operation, const std::string& what);

StreamState* state(const Stream& stream);
EventState* state(const Event& event);

}  // namespace saemill::gpu::emulation
