// Which of several failures made a job fail.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace saemill {

enum class FailureKind {
  exited,  // by itself, with a code that is not 0
  signal,  // killed by a signal that the launcher did not send
  silent,  // no heartbeat
};

struct Failure {
  FailureKind kind = FailureKind::exited;
  int rank = -1;
  int code = 75;
  std::string reason;
  std::string device;
  std::string phase;
  int64_t step = 0;
};

// The exit code that a job takes from a rank that exited with `code`: ours as they are, others are our bug.
int job_code(int code);

// The first cause, of failures in the order in which they were seen; not empty. A rank's 64, 65, 70 or 78
// wins: its peers' 75 only say that it went away. Then a death by signal, then silence, for the same reason.
const Failure& first_cause(const std::vector<Failure>& failures);

}  // namespace saemill
