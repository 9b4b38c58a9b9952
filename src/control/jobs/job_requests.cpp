// What a person asks of trainings: Jobs::create(), control() and erase().
#include <signal.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include <nlohmann/json.hpp>

#include "common/base/clock.h"
#include "common/base/error.h"
#include "common/base/log.h"
#include "control/jobs/job_launch.h"
#include "control/jobs/jobs_impl.h"

namespace saemill {
namespace {

using Status = TrainingStatus;

// 16 characters that are a file name everywhere.
std::string new_id() {
  constexpr char kLetters[] = "abcdefghijklmnopqrstuvwxyz234567";
  unsigned char bytes[16];
  ensure(::getrandom(bytes, sizeof bytes, 0) == sizeof bytes, "no random numbers");
  std::string id;
  for (const unsigned char byte : bytes) id += kLetters[byte % 32];
  return id;
}

void complete(std::vector<TrainingRow>& rows, const JobsOptions& options) {
  const std::string group = new_id();
  for (TrainingRow& row : rows) {
    row.id = new_id();
    if (rows.size() > 1) row.group_id = group;
    row.status = Status::queued;
    row.reason_code = "queued";
    row.reason_message = "has just come";
    row.server_id = options.server_id;
    row.host = options.host;
    row.created_at = now_ms();
  }
}

// Why one of `rows` does not start; empty: all do.
std::string hindrance(const Decisions& decisions, const std::vector<TrainingRow>& rows) {
  for (const TrainingRow& row : rows)
    for (const Wait& wait : decisions.waits)
      if (wait.id == row.id) return wait.reason.message;
  return "";
}

const char* words_of(Action action) {
  switch (action) {
    case Action::pause:
      return "pause was asked: it ends after a checkpoint";
    case Action::resume:
      return "resume was asked";
    case Action::finish:
      return "finish was asked: what is there is exported";
    case Action::cancel:
      return "cancel was asked";
    case Action::retry:
      return "retry was asked";
    case Action::checkpoint:
      return "a checkpoint was asked";
    case Action::hold:
      return "held";
    case Action::release:
      return "released";
    case Action::prioritize:
      return "its priority was changed";
  }
  return "";
}

TrainingChange change_of(const TrainingRow& training, const ControlRequest& request) {
  TrainingChange change;
  if (!request.device_uuids.empty()) {
    change.asked_gpu_ids.emplace(nlohmann::json(request.device_uuids).dump());
    change.device_count = static_cast<int64_t>(request.device_uuids.size());
  } else if (request.device_count) {
    change.asked_gpu_ids.emplace();
    change.device_count = *request.device_count;
  }
  if (request.priority) change.priority = *request.priority;
  if (request.action == Action::hold) change.held = true;
  if (request.action == Action::release) change.held = false;
  if (request.action == Action::finish) change.finalized_from_step.emplace(training.current_step);
  if (request.action == Action::resume || request.action == Action::retry) {
    change.resumed_from.emplace(to_string(training.status));
    change.held = false;
    change.finalized_from_step.emplace();
    change.error.emplace();
  }
  if (request.action == Action::retry) change.restarts = 0;
  return change;
}

void send_to_launcher(const TrainingRow& training, int number) {
  const Fd watch = watch_process({training.launcher_pid, training.launcher_start_time});
  const bool sent = training.launcher_pid != 0 && watch &&
                    ::syscall(SYS_pidfd_send_signal, watch.get(), number, nullptr, 0) == 0;
  if (!sent) throw Refused("bad_state", "the training's launcher has just ended; ask again");
}

TrainingRow need(const Trainings& store, const std::string& id) {
  auto row = store.find(id);
  if (!row) throw Refused("not_found", fmt::format("there is no training {}", id.substr(0, 100)));
  return std::move(*row);
}

}  // namespace

std::vector<TrainingRow> Jobs::create(std::vector<TrainingRow> rows, bool now) {
  Impl& impl = *impl_;
  complete(rows, impl.options);
  if (!now) {
    impl.board.create(rows);
    impl.wake();
    return rows;
  }
  {
    const std::lock_guard lock(impl.pass);
    const auto snapshot = impl.fresh_snapshot();
    const auto decisions =
        impl.starter.foresee(impl.board.store().active(impl.options.server_id),
                             impl.board.store().queued(impl.options.server_id), rows, *snapshot);
    for (const TrainingRow& row : rows) impl.starter.forget(row.id);
    if (const auto why = hindrance(decisions, rows); !why.empty()) throw Refused("gpu_unavailable", why);
    impl.board.create(rows);
  }
  // A look starts as many as it has time for.
  std::string why;
  size_t waiting = rows.size();
  for (size_t before = waiting + 1; waiting > 0 && waiting < before;) {
    impl.look_and_go_on();
    before = std::exchange(waiting, 0);
    for (TrainingRow& row : rows) {
      row = need(impl.board.store(), row.id);
      if (row.status != Status::queued) continue;
      ++waiting;
      why = row.reason_message.value_or("its devices are busy");
    }
  }
  if (waiting == 0) return rows;
  // A stranger took a device in this moment.
  for (const TrainingRow& row : rows) withdraw(row);
  throw Refused("gpu_unavailable", why);
}

// It may be starting, or have ended, since it was read.
void Jobs::withdraw(const TrainingRow& row) {
  try {
    if (row.status == Status::queued) return erase(row.id);
  } catch (const Refused&) {
  }
  try {
    control(row.id, {.action = Action::cancel});
  } catch (const Refused&) {
  }
}

TrainingRow Jobs::control(const std::string& id, const ControlRequest& request) {
  if (request.action == Action::prioritize && !request.priority)
    fail(ErrorCode::usage, "prioritize without a priority; accepted: 0 to 100");
  std::unique_lock lock(impl_->pass, std::defer_lock);
  if (request.checkpoint) lock.lock();  // so that it is not deleted meanwhile
  for (;;) {
    const TrainingRow row = need(impl_->board.store(), id);
    const ActionOutcome outcome = apply(row.status, request.action);
    if (!outcome.next) throw Refused("bad_state", outcome.refusal);
    if (request.action == Action::checkpoint) {
      send_to_launcher(row, SIGUSR1);
      return row;
    }
    if (request.action == Action::finish && row.status == Status::paused && !has_checkpoint(run_folder(id)))
      throw Refused("bad_state",
                    "the training was paused before it had a checkpoint: there is nothing to finish");
    TrainingChange change = change_of(row, request);
    if (request.checkpoint) change.from_checkpoint.emplace(impl_->step_of(row, *request.checkpoint));
    const auto changed = impl_->accept(row, request.action, *outcome.next, std::move(change));
    if (!changed) continue;  // it moved on meanwhile
    impl_->wake();
    return *changed;
  }
}

// A new priority is no change of status: why it waits, or was paused, stays told.
std::optional<TrainingRow> Jobs::Impl::accept(const TrainingRow& row, Action action, TrainingState to,
                                              TrainingChange change) {
  if (action != Action::prioritize)
    return board.change(row.id, row.status, to, {to_string(action), words_of(action)}, std::move(change));
  if (!board.note(row.id, row.status, change)) return std::nullopt;
  return board.store().find(row.id);
}

void Jobs::erase(const std::string& id) {
  const TrainingRow row = need(impl_->board.store(), id);
  const std::lock_guard lock(impl_->pass);
  impl_->erase(row);
}

// The row first: what is left of a folder without a row is seen, and can be deleted by hand.
void Jobs::Impl::erase(const TrainingRow& row) {
  if (!board.erase(row))
    throw Refused("bad_state",
                  fmt::format("the training is {}; accepted: one that waits or has ended",
                              holds_devices(row.status) ? to_string(row.status) : "still ending"));
  starter.forget(row.id);
  try {
    trash.take(runs() / row.id);
  } catch (const Error& error) {
    log_line(LogLevel::warning, error.what());
  }
}

}  // namespace saemill
