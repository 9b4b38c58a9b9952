// One child process: started with everything it must not inherit closed, killed with its whole process group,
// and proven dead by waitpid.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace saemill {

struct SpawnOptions {
  std::vector<std::string> command;      // command[0] is the program's path
  std::vector<int> inherit;              // descriptors passed under their own numbers, besides 0, 1 and 2
  std::vector<int> cores;                // affinity; empty: the launcher's own
  std::vector<std::string> environment;  // "NAME=VALUE", besides the launcher's own
  int stdout_fd = -1;                    // -1: the launcher's own
  int stderr_fd = -1;
};

struct ExitStatus {
  int code = 0;    // exit code, when `signal` is 0
  int signal = 0;  // the signal that ended it
  bool ok() const { return code == 0 && signal == 0; }
};

// "exited with code 65", "was killed by signal 9 (Killed)"
std::string describe(const ExitStatus& status);

// The destructor kills and reaps: no way out of the launcher leaves a child behind.
class Process {
 public:
  // Must be called on a thread that lives as long as the launcher: PR_SET_PDEATHSIG fires when that thread
  // ends. The child leads a process group of its own. Error{usage} when the program cannot be executed.
  explicit Process(const SpawnOptions& options);
  Process(Process&& other) noexcept;
  Process& operator=(Process&&) = delete;
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;
  ~Process();

  pid_t pid() const { return pid_; }
  int64_t start_time() const {
    return start_time_;
  }  // field 22 of /proc/PID/stat: with the pid, its identity
  bool running() const { return pid_ > 0 && !status_; }
  const ExitStatus& exit_status() const { return status_.value(); }  // of one that was reaped

  void signal(int number);  // to the process alone; nothing once it is reaped
  void kill_group();
  const std::optional<ExitStatus>&
  poll_exit();        // reaps, if it has ended, after killing what is left of its group
  ExitStatus wait();  // blocks

 private:
  const std::optional<ExitStatus>& reap(int options);

  pid_t pid_ = -1;
  int64_t start_time_ = 0;
  std::optional<ExitStatus> status_;
};

}  // namespace saemill
