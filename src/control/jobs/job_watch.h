// One launcher, seen from its server: whether it lives, shows it, and has been told what is wanted of it.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "control/launch/detached.h"
#include "control/store/trainings.h"

namespace saemill {

// Not thread-safe.
class JobWatch {
 public:
  // A launcher that this server has started, or found running. `now` here and below: monotonic seconds.
  JobWatch(const TrainingRow& training, std::filesystem::path run, double now);

  const ProcessId& process() const { return process_; }
  int ended_fd() const { return ended_.get(); }  // readable once it has ended; -1: not watched, or reaped
  bool has_ended() const;                        // proven; another boot of the machine is a proof
  const std::optional<ExitStatus>& reap();       // how, where it was a child of this process

  // Kills what is left of its processes; true once nothing is.
  bool swept(const std::string& training) const;

  // By RUN/status.json, which its ranks have begun to train.
  bool says_it_runs() const;
  // Seconds without a sign of life: RUN/status.json is written, or at least touched, every second.
  double silence(double now);
  double age(double now) const { return now - started_; }

  // Sends what the status asks for. Cancelled: twice SIGINT, which kills the ranks; then it is killed.
  void tell(TrainingStatus status, bool finish, double now);
  void kill(const std::string& training, const std::string& why);
  const std::string& killed_because() const { return killed_because_; }  // empty: not by us

 private:
  void send(int number);

  ProcessId process_;
  std::string boot_id_;
  std::filesystem::path run_;
  Fd ended_;
  std::optional<ExitStatus> status_;
  double started_ = 0;  // monotonic
  int64_t last_sign_ = 0;
  double last_sign_at_ = 0, looked_at_ = 0;
  int told_ = 0;  // the signal it was sent last
  int interrupts_ = 0;
  double interrupted_at_ = 0, finish_told_at_ = 0;
  std::string killed_because_;
};

}  // namespace saemill
