#include "control/jobs/supervisor.h"

#include <fmt/format.h>

#include <algorithm>

#include "common/base/clock.h"
#include "common/base/error.h"
#include "common/base/log.h"
#include "common/base/proc.h"

namespace saemill {
namespace {

using Status = TrainingStatus;

TrainingChange without_launcher() {
  TrainingChange change;
  change.launcher_pid = 0;
  change.launcher_start_time = 0;
  return change;
}

StatusReason paused_because(const TrainingRow& training) {
  const auto at = fmt::format("paused at step {}", training.current_step);
  if (training.reason_code != "time_limit") return {"paused", at};
  return {"time_limit", fmt::format("{}: {}", at, training.reason_message.value_or("")), Severity::warning};
}

}  // namespace

std::vector<int> Supervisor::ended_fds() const {
  std::vector<int> fds;
  for (const auto& [id, watch] : watches_) fds.push_back(watch.ended_fd());
  return fds;
}

void Supervisor::keep_only(const std::vector<TrainingRow>& active) {
  const auto has_launcher = [&](const std::string& id) {
    return std::any_of(active.begin(), active.end(),
                       [&](const auto& row) { return row.id == id && row.launcher_pid != 0; });
  };
  for (auto at = watches_.begin(); at != watches_.end();) {
    if (has_launcher(at->first)) {
      ++at;
    } else {
      pump_.leave(at->first);
      at = watches_.erase(at);
    }
  }
}

void Supervisor::look_after(const TrainingRow& training) {
  if (training.launcher_pid == 0) return settle_without_launcher(training);
  JobWatch& watch = watch_of(training);
  if (!watch.has_ended()) return attend(training, watch);
  watch.reap();
  if (!watch.swept(training.id)) {
    ++ending_;
    return;
  }
  conclude(training, watch);
}

JobWatch& Supervisor::watch_of(const TrainingRow& training) {
  auto found = watches_.find(training.id);
  if (found != watches_.end() && found->second.process().pid != training.launcher_pid) {
    watches_.erase(found);
    found = watches_.end();
  }
  if (found == watches_.end()) {
    found = watches_.emplace(training.id, JobWatch(training, run_of(training), monotonic_seconds())).first;
    pump_.follow(training.id, run_of(training) / "events.jsonl");
  }
  return found->second;
}

void Supervisor::attend(const TrainingRow& training, JobWatch& watch) {
  const double now = monotonic_seconds();
  const double silent = watch.silence(now);
  watch.tell(training.status, training.finalized_from_step.has_value(), now);
  ending_ += !holds_devices(training.status);
  if (training.status == Status::starting) see_that_it_runs(training, watch);
  if (silent > options_.hang_after && watch.killed_because().empty()) {
    const auto why = fmt::format("its launcher gave no sign of life for {:.0f} s and was killed", silent);
    log_line(LogLevel::warning, fmt::format("training {}: {}", training.id, why));
    watch.kill(training.id, why);
    ++ending_;
  }
  const bool over_time = training.status == Status::running && training.time_limit_s &&
                         watch.age(now) >= static_cast<double>(*training.time_limit_s);
  if (over_time)
    board_.change(training.id, Status::running, Status::pausing,
                  {"time_limit", fmt::format("its time limit of {} s is reached", *training.time_limit_s),
                   Severity::warning});
}

// Its `started` line moves it, unless the server or the store went away in between.
void Supervisor::see_that_it_runs(const TrainingRow& training, const JobWatch& watch) {
  if (watch.says_it_runs()) move(training, Cause::first_event, {"running", "its ranks are at work"}, {});
}

// Stopped in the middle of a start, or waits for one.
void Supervisor::settle_without_launcher(const TrainingRow& training) {
  if (training.status == Status::pausing)
    move(training, Cause::saved, {"paused", "paused before it was started"}, {});
  if (training.status == Status::finalizing && is_finished(run_of(training))) finish(training, {});
}

void Supervisor::conclude(const TrainingRow& training, JobWatch& watch) {
  pump_.drain(training.id);
  leases_.release(training.id);
  // What it said last may have moved it.
  const auto now = board_.store().find(training.id);
  if (!now) return;
  RunEnd end = read_run_end(run_of(training), watch.reap());
  if (end.kind == RunEnd::Kind::lost && !watch.killed_because().empty()) end.message = watch.killed_because();
  if (!apply_end(*now, end, now->boot_id != boot_id())) {
    ++ending_;  // somebody moved it: the next look is of that
    return;
  }
  pump_.leave(training.id);
  watches_.erase(training.id);
}

bool Supervisor::apply_end(const TrainingRow& training, const RunEnd& end, bool rebooted) {
  TrainingChange cleared = without_launcher();
  if (!holds_devices(training.status)) return board_.note(training.id, training.status, cleared);
  switch (end.kind) {
    case RunEnd::Kind::finished:
      return finish(training, cleared);
    case RunEnd::Kind::stopped:
      if (training.status != Status::pausing)
        return lose(training, "somebody stopped its launcher", rebooted, cleared);
      return move(training, Cause::saved, paused_because(training), cleared);
    case RunEnd::Kind::lost:
      return lose(training, rebooted ? "the machine was started anew" : end.message, rebooted, cleared);
    case RunEnd::Kind::failed:
      break;
  }
  cleared.error.emplace(end.message);
  return move(training, Cause::ended_badly, {"failed", end.message, Severity::error}, cleared);
}

bool Supervisor::finish(const TrainingRow& training, TrainingChange cleared) {
  TrainingRow at = training;
  if (training.status != Status::finalizing) {
    if (!move(training, Cause::ended_well, {"exported", "its last step is done"}, cleared)) return false;
    at.status = Status::finalizing;
  }
  if (training.finalized_from_step) cleared.finalized_from_step.emplace(training.current_step);
  cleared.error.emplace();
  return move(at, Cause::exported,
              {"completed", fmt::format("completed at step {}{}", training.current_step,
                                        training.finalized_from_step ? ", finished early" : "")},
              cleared);
}

// A restart of the machine is not the training's doing, and costs it nothing.
bool Supervisor::lose(const TrainingRow& training, const std::string& message, bool rebooted,
                      TrainingChange cleared) {
  if (!rebooted && training.restarts >= training.max_restarts && training.status != Status::pausing) {
    cleared.error.emplace(message);
    return move(training, Cause::ended_badly,
                {"failed", fmt::format("{}; its {} restarts are used up", message, training.max_restarts),
                 Severity::error},
                cleared);
  }
  if (training.status == Status::pausing)
    return move(training, Cause::lost_device,
                {"paused", fmt::format("paused at its last checkpoint: {}", message), Severity::warning},
                cleared);
  cleared.restarts = training.restarts + !rebooted;
  const auto text =
      rebooted ? fmt::format("starts again: {}", message)
               : fmt::format("restart {} of {}: {}", *cleared.restarts, training.max_restarts, message);
  return move(training, Cause::lost_device, {"restart", text, Severity::warning}, cleared);
}

bool Supervisor::move(const TrainingRow& training, Cause cause, const StatusReason& reason,
                      TrainingChange more) {
  const auto to = next_state(training.status, cause);
  if (!to) {
    log_line(LogLevel::error, fmt::format("training {}: {} while {} leads nowhere", training.id,
                                          to_string(cause), to_string(training.status)));
    return false;
  }
  return board_.change(training.id, training.status, *to, reason, std::move(more)).has_value();
}

}  // namespace saemill
