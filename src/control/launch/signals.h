// Requests to the launcher, taken as data from a descriptor that the loop polls.
#pragma once

#include <signal.h>

#include <optional>

#include "control/launch/fd.h"

namespace saemill {

// Blocks SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2 and SIGCHLD for this thread, and ignores SIGPIPE, until
// destroyed. SIGHUP stays as it is where it is ignored already (nohup).
class SignalRequests {
 public:
  SignalRequests();
  SignalRequests(const SignalRequests&) = delete;
  SignalRequests& operator=(const SignalRequests&) = delete;
  ~SignalRequests();

  int fd() const { return fd_.get(); }  // readable when next() has something
  std::optional<int> next();

 private:
  Fd fd_;
  sigset_t before_{};
  struct sigaction pipe_before_ {};
};

}  // namespace saemill
