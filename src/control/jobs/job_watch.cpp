#include "control/jobs/job_watch.h"

#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "common/base/proc.h"
#include "control/jobs/job_launch.h"

namespace saemill {
namespace {

constexpr double kInterruptAgain = 0.2;  // seconds: two SIGINT that wait together are one
constexpr double kFinishAgain = 2;
constexpr double kKillAfter = 10;  // seconds after the first
constexpr double kStarved = 5;     // seconds between two looks: this program was stopped itself

}  // namespace

JobWatch::JobWatch(const TrainingRow& training, std::filesystem::path run, double now)
    : process_{training.launcher_pid, training.launcher_start_time},
      boot_id_(training.boot_id),
      run_(std::move(run)),
      started_(now - process_age(process_.start_time)),
      last_sign_at_(now),
      looked_at_(now) {
  if (!has_ended()) ended_ = watch_process(process_);
}

bool JobWatch::has_ended() const {
  return boot_id_ != boot_id() || saemill::has_ended(process_.pid, process_.start_time);
}

const std::optional<ExitStatus>& JobWatch::reap() {
  ended_.reset();  // readable for ever: whatever is left to do is tried again by the clock
  if (!status_) status_ = reap_child(process_.pid);
  return status_;
}

bool JobWatch::swept(const std::string& training) const {
  // The number is another's since another boot, or where a process has it that began later; as long as it is
  // that of a session of ours it is not given out again.
  const ProcessStat now = process_stat(process_.pid);
  const bool given_again = now.state != '\0' && now.start_time != process_.start_time;
  const int64_t session = boot_id_ == boot_id() && !given_again ? process_.pid : -1;
  const auto left = processes_of(session, mark_of(training));
  kill_all(left);
  return left.empty();
}

bool JobWatch::says_it_runs() const {
  std::ifstream file(run_ / "status.json");
  const auto status = nlohmann::json::parse(file, nullptr, false);
  // Of whatever type they are: one spoilt file must not hold up all trainings.
  const auto has = [&](const char* key, const nlohmann::json& value) {
    const auto found = status.find(key);
    return found != status.end() && *found == value;
  };
  return (has("state", "running") || has("state", "finalizing")) && has("pid", process_.pid) &&
         has("start_time", process_.start_time);
}

double JobWatch::silence(double now) {
  struct stat info {};
  const bool there = ::stat((run_ / "status.json").c_str(), &info) == 0;
  const int64_t sign = there ? info.st_mtim.tv_sec * 1'000'000'000 + info.st_mtim.tv_nsec : 0;
  // Who was not looking has heard nothing: that is not its silence.
  if (sign != last_sign_ || now - looked_at_ > kStarved) last_sign_at_ = now;
  last_sign_ = sign;
  looked_at_ = now;
  return now - last_sign_at_;
}

void JobWatch::send(int number) {
  if (ended_) ::syscall(SYS_pidfd_send_signal, ended_.get(), number, nullptr, 0);
  told_ = number;
}

void JobWatch::tell(TrainingStatus status, bool finish, double now) {
  // Before its first sign of life it may not listen yet, and SIGUSR2 would kill it.
  const bool listens = last_sign_ != 0;
  if (status == TrainingStatus::pausing && listens && told_ != SIGTERM) send(SIGTERM);
  // Again and again: a launcher that still looks for its activations and checkpoints forgets it.
  if (status == TrainingStatus::finalizing && finish && listens && now - finish_told_at_ >= kFinishAgain) {
    send(SIGUSR2);
    finish_told_at_ = now;
  }
  if (holds_devices(status)) return;
  if (interrupts_ == 0) interrupted_at_ = now;
  if (interrupts_ == 0 || (interrupts_ == 1 && now - interrupted_at_ >= kInterruptAgain)) {
    ++interrupts_;
    send(SIGINT);
  }
  if (now - interrupted_at_ >= kKillAfter && ended_) {
    ::syscall(SYS_pidfd_send_signal, ended_.get(), SIGKILL, nullptr, 0);  // what it leaves is swept
  }
}

void JobWatch::kill(const std::string& training, const std::string& why) {
  killed_because_ = why;
  kill_all(processes_of(process_.pid, mark_of(training)));
}

}  // namespace saemill
