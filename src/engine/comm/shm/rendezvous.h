// The barrier of the shm communicator: ranks meet, compare what they call, and find out who is late or gone.
#pragma once

#include <string>
#include <vector>

#include "common/base/error.h"
#include "engine/comm/shm/control_page.h"

namespace saemill {

// One rank's view of the control page. One thread at a time, but for stop().
class Rendezvous {
 public:
  Rendezvous(ControlPage& page, int rank, int size, double deadline_seconds);

  // Announces this rank and waits for the others. Error{internal} when the place is taken.
  void join();
  // Arrives at the next phase and waits until all ranks have. What a rank wrote to shared memory before it
  // arrived, all see afterwards. Error{internal} on every rank when the calls differ, Error{retry} naming
  // the ranks that are late or gone. Who is at long work is not late.
  void enter(const Call& call);
  // Makes all present and later enter() of all ranks throw this; the first stop counts. From any thread.
  void stop(ErrorCode code, const std::string& reason) noexcept;
  // Of this rank; may be nested.
  void begin_long_work() noexcept { page_.ranks[rank_].long_work.fetch_add(1); }
  void end_long_work() noexcept { page_.ranks[rank_].long_work.fetch_sub(1); }
  // Throws if stopped.
  void check() const;
  // stop() and throw what the first stop said.
  [[noreturn]] void stop_and_throw(ErrorCode code, const std::string& reason);

  double waited_seconds() const { return waited_; }

 private:
  bool all_arrived(uint64_t phase) const;
  Call call_of(int rank, uint64_t phase) const;
  void check_agreement(uint64_t phase);
  void wait(uint64_t phase, const Call& call);
  void check_peers(uint64_t phase, const Call& call, double now);
  void ring() noexcept;

  ControlPage& page_;
  const int rank_, size_;
  const double deadline_;
  uint64_t start_time_ = 0;  // of this process; 0 where /proc does not say
  int spins_ = 0;
  uint64_t phase_ = 0;
  std::vector<double> due_;  // of each rank: when it is late for the phase that is waited for
  double waited_ = 0;
};

}  // namespace saemill
