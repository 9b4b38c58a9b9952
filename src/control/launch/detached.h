// Programs that outlive the one which started them: the launchers of a server.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "control/launch/fd.h"
#include "control/launch/process.h"

namespace saemill {

struct ProcessId {
  int64_t pid = 0;
  int64_t start_time = 0;  // field 22 of /proc/PID/stat
};

// Starts the program in a session of its own, on any thread. `record` is called with the process before the
// program begins in it: where it throws, or this program dies in the middle, nothing is started. So no such
// program ever runs that is not on record. Error{usage} when it cannot be executed, after it was recorded.
ProcessId start_detached(const SpawnOptions& options, const std::function<void(const ProcessId&)>& record);

// How a child of this process ended, which it then is no more. Absent: it has not, or is not ours.
std::optional<ExitStatus> reap_child(int64_t pid);

// Readable once the process has ended. Empty: it has already.
Fd watch_process(const ProcessId& process);

// Those living of a job: of the launcher's session, and whoever has `mark` ("NAME=VALUE") in the environment
// it was started with, wherever it has put itself since.
std::vector<ProcessId> processes_of(int64_t session, const std::string& mark);
void kill_all(const std::vector<ProcessId>& processes);  // SIGKILL, to no other that has their pid by now

}  // namespace saemill
