// One rank's NCCL communicator, never blocking: every wait has a deadline. After an error, which is always
// Error{retry}, it is aborted and may only be destroyed. One thread at a time.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "engine/comm/nccl/nccl_library.h"

namespace saemill::nccl {

inline bool is_good(int result) {
  return result == kSuccess || result == kInProgress;
}

class Communicator {
 public:
  // Collective; of the calling thread's device.
  Communicator(std::shared_ptr<const Library> library, const UniqueId& id, int rank, int size,
               double deadline_seconds);
  // After an error, or while an exception passes by, aborts; else ends in agreement with the others.
  ~Communicator();
  Communicator(const Communicator&) = delete;
  Communicator& operator=(const Communicator&) = delete;

  // Calls of NCCL that make one operation; they return the first bad result, or a good one. Returns when the
  // streams hold the operation: until then NCCL may be enqueuing it in a thread of its own.
  void group(const char* operation, const std::function<int(Comm)>& calls);
  // Throws where an error has come up since. Waits for nothing.
  void check(const char* operation);
  [[noreturn]] void give_up(const std::string& reason);

  const Library& library() const { return *library_; }

 private:
  void require(int result, const char* operation);
  int state(const char* operation);
  void wait(const char* operation, double seconds);
  void finalize();
  void abort() noexcept;

  const std::shared_ptr<const Library> library_;
  const int rank_, device_;
  const double deadline_;
  Comm comm_ = nullptr;  // null also after abort()
};

}  // namespace saemill::nccl
