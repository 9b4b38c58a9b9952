#include "pipe_reporter.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>

#include "common/base/clock.h"
#include "common/protocol/worker_protocol.h"

namespace saemill {

PipeReporter::PipeReporter(int fd, int rank) : fd_(fd), rank_(rank), thread_(&PipeReporter::beat, this) {}

PipeReporter::~PipeReporter() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  stop_changed_.notify_all();
  thread_.join();
}

void PipeReporter::report(nlohmann::ordered_json event) {
  event["rank"] = rank_;
  const std::lock_guard lock(mutex_);
  write_line(event);
}

void PipeReporter::progress(int64_t step, const std::string& phase) {
  const std::lock_guard lock(mutex_);
  step_ = step;
  phase_ = phase;
}

std::string PipeReporter::phase() const {
  const std::lock_guard lock(mutex_);
  return phase_;
}

// Until a monotonic time; a pipe tells at its write end too what nobody has read.
bool PipeReporter::is_taken(double until) const {
  for (;;) {
    int unread = 0;
    if (::ioctl(fd_, FIONREAD, &unread) != 0 || unread == 0) return true;
    if (monotonic_seconds() > until) return false;
    std::this_thread::sleep_for(std::chrono::microseconds(200));
  }
}

// The launcher writes down what it has read before it reads again: once it has taken a line that was written
// after it took all others, those are in events.jsonl.
bool PipeReporter::is_recorded() {
  constexpr double kPatience = 1;  // seconds
  const double until = monotonic_seconds() + kPatience;
  if (!is_taken(until)) return false;
  {
    const std::lock_guard lock(mutex_);
    write_line({{"event", "heartbeat"}, {"rank", rank_}, {"step", step_}, {"phase", phase_}});
  }
  return is_taken(until);
}

// A launcher that is gone takes this process with it (PR_SET_PDEATHSIG), so a broken pipe needs no answer.
void PipeReporter::write_line(const nlohmann::ordered_json& event) {
  const std::string line =
      event.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
  if (line.size() > static_cast<size_t>(kMaxReportLine)) return;
  size_t done = 0;
  while (done < line.size()) {
    const ssize_t n = ::write(fd_, line.data() + done, line.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return;
    done += static_cast<size_t>(n);
  }
}

void PipeReporter::beat() {
  std::unique_lock lock(mutex_);
  while (!stop_) {
    write_line({{"event", "heartbeat"}, {"rank", rank_}, {"step", step_}, {"phase", phase_}});
    stop_changed_.wait_for(lock, std::chrono::milliseconds(500), [this] { return stop_; });
  }
}

}  // namespace saemill
