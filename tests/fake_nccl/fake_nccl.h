// A libnccl.so.2 of ours for tests: ranks are threads of one process, and what NCCL would do on a GPU is put
// into the streams of whatever device the test names. It keeps NCCL's rules that bite: communicators are not
// blocking, a group is in the streams only after the asynchronous state is success again, data is read and
// written in the order of the stream, and ranks whose calls differ get an error.
//
// A test loads the library, looks up kBegin and calls it before each scenario. The scenario is JSON:
//   {"log": "FILE",          each call, one line: "rank 1: ncclBroadcast 96 bytes from rank 0"
//    "rank": 1,              whom the rest concerns; all where it is absent
//    "init": "hangs",        the communicator never becomes ready
//    "refused_at": 2,        group end of that number (from 0) is refused
//    "async_error_at": 2,    after that group the asynchronous state is an error
//    "stuck_at": 2,          that group's work is not done on any rank for 6 s, or until the rank aborts
//    "abort_seconds": 30}    how long an abort takes
#pragma once

#include <functional>
#include <memory>
#include <string>

namespace fake_nccl {

// Streams by their native handle. Called by the rank's own thread.
class Device {
 public:
  virtual ~Device() = default;
  virtual void enqueue(void* stream, const std::string& name, std::function<void()> work) = 0;
  // What the stream holds now, and that later work of a stream comes after such a mark.
  virtual std::shared_ptr<void> mark(void* stream) = 0;
  virtual void wait(void* stream, const std::shared_ptr<void>& mark) = 0;
};

// extern "C" void fake_nccl_begin(Device* device, const char* scenario); the device outlives the
// communicators.
using Begin = void(Device*, const char*);
constexpr const char* kBegin = "fake_nccl_begin";

}  // namespace fake_nccl
