#include "control/jobs/jobs.h"

#include <poll.h>

#include <algorithm>

#include "common/base/clock.h"
#include "common/base/error.h"
#include "common/base/log.h"
#include "common/base/proc.h"
#include "control/jobs/jobs_impl.h"
#include "control/jobs/retention.h"

namespace saemill {
namespace {

using Status = TrainingStatus;

constexpr int kLookMs = 1000;
constexpr int kLookSoonMs = 100;       // while processes end
constexpr double kDeleteEvery = 3600;  // seconds

}  // namespace

int64_t now_ms() {
  return static_cast<int64_t>(epoch_seconds() * 1e3);
}

Jobs::Impl::Impl(JobsOptions given, Database& database, Leases& its_leases, Monitor& its_monitor,
                 TrainingListener& listener)
    : options(std::move(given)),
      leases(its_leases),
      monitor(its_monitor),
      checkpoints(database),
      metrics(database),
      measured_runs(database),
      board(database, options.host, listener),
      pump(database, board, [this](const std::string& id) { on_started(id); }),
      trash(runs() / ".trash"),
      supervisor({runs(), options.hang_after}, board, pump, leases),
      starter(options, board, leases, monitor, metrics, measured_runs,
              [this](const TrainingRow& row) { return pump.predicted_end(row.id, row.total_steps); }),
      wake_fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

void Jobs::Impl::on_started(const std::string& id) {
  const auto to = next_state(Status::starting, Cause::first_event);
  board.change(id, Status::starting, *to, {"running", "its ranks are at work"});
}

std::shared_ptr<const Snapshot> Jobs::Impl::fresh_snapshot() {
  return monitor.sample_now(0.25);
}

void Jobs::Impl::look() {
  const std::lock_guard lock(pass);
  const double begin = monotonic_seconds();
  supervisor.begin_round();
  std::exception_ptr error;  // of one must not hold up the others
  for (const TrainingRow& row : board.store().active(options.server_id)) {
    try {
      supervisor.look_after(row);
    } catch (const Error& problem) {
      error = std::make_exception_ptr(Error(problem.code(), fmt::format("{}: {}", row.id, problem.what())));
    }
  }
  if (!recovered) {  // after those that died meanwhile were concluded
    leases.release_dead(options.host, boot_id(),
                        [](int64_t pid, int64_t start) { return !has_ended(pid, start); });
    recovered = true;
  }
  starter.settle();
  const auto active = board.store().active(options.server_id);
  supervisor.keep_only(active);
  const auto queued = board.store().queued(options.server_id);
  const bool waits = !queued.empty() || std::any_of(active.begin(), active.end(),
                                                    [](const auto& row) { return row.launcher_pid == 0; });
  if (waits) {
    const auto snapshot = fresh_snapshot();
    if (starter.place(active, queued, *snapshot)) wake();  // its events are followed at once
  }
  delete_old_ones();
  if (error) std::rethrow_exception(error);
  const std::lock_guard status_lock(last_mutex);
  last = {static_cast<int64_t>(queued.size()), static_cast<int64_t>(active.size()),
          (monotonic_seconds() - begin) * 1e3, ""};
}

void Jobs::Impl::look_and_go_on() {
  std::string error;
  try {
    return look();
  } catch (const std::exception& problem) {
    error = problem.what();
  }
  const std::lock_guard lock(last_mutex);
  if (last.error != error) log_line(LogLevel::error, fmt::format("trainings: {}", error));
  last.error = error;
}

void Jobs::Impl::delete_old_ones() {
  if (deleted_at > 0 && monotonic_seconds() - deleted_at < kDeleteEvery) return;
  deleted_at = monotonic_seconds();
  delete_old({runs(), options.server_id, options.keep_checkpoints_days, options.keep_trainings_days}, board,
             checkpoints, trash, now_ms(), [this](const TrainingRow& row) {
               try {
                 erase(row);
               } catch (const Refused&) {  // started again, or still ending: not old any more
               }
             });
}

void Jobs::Impl::loop() {
  while (!stopping) {
    look_and_go_on();
    std::vector<pollfd> polled{{wake_fd.get(), POLLIN, 0}};
    int timeout = kLookMs;
    {
      const std::lock_guard lock(pass);
      for (const int fd : supervisor.ended_fds()) polled.push_back({fd, POLLIN, 0});
      if (supervisor.is_ending()) timeout = kLookSoonMs;
    }
    ::poll(polled.data(), polled.size(), timeout);
    eventfd_t ignored = 0;
    ::eventfd_read(wake_fd.get(), &ignored);
  }
}

Jobs::Jobs(JobsOptions options, Database& database, Leases& leases, Monitor& monitor,
           TrainingListener& listener)
    : impl_(std::make_unique<Impl>(std::move(options), database, leases, monitor, listener)) {}

Jobs::~Jobs() {
  stop();
}

void Jobs::start() {
  impl_->thread = std::thread([this] { impl_->loop(); });
}

void Jobs::stop() {
  impl_->stopping = true;
  impl_->wake();
  if (impl_->thread.joinable()) impl_->thread.join();
}

std::filesystem::path Jobs::run_folder(const std::string& id) const {
  return impl_->runs() / id;
}

Jobs::Look Jobs::last_look() const {
  const std::lock_guard lock(impl_->last_mutex);
  return impl_->last;
}

}  // namespace saemill
