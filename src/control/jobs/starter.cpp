#include "control/jobs/starter.h"

#include <unistd.h>

#include <algorithm>

#include <nlohmann/json.hpp>

#include "common/base/clock.h"
#include "common/base/error.h"
#include "common/base/log.h"
#include "common/base/proc.h"
#include "control/jobs/job_launch.h"
#include "control/monitor/reserve.h"

namespace saemill {
namespace {

using Status = TrainingStatus;
using Json = nlohmann::json;

constexpr double kRoundSeconds = 3;  // for taking devices: a slow driver must not hold up people's requests
constexpr double kNoteEvery = 10;    // seconds between two texts of the same reason

bool must_start_again(const TrainingRow& training) {
  return training.launcher_pid == 0 &&
         (training.status == Status::starting || training.status == Status::finalizing);
}

std::vector<int> indices_of(const std::vector<std::string>& uuids, const Snapshot& snapshot) {
  std::vector<int> indices;
  for (const std::string& uuid : uuids) {
    const Device* device = find_device(snapshot.devices, uuid);
    if (device != nullptr) indices.push_back(device->index);
  }
  return indices;
}

std::string joined(const std::vector<std::string>& parts) {
  std::string text;
  for (const std::string& part : parts) text += (text.empty() ? "" : "; ") + part;
  return text;
}

}  // namespace

Starter::Starter(const JobsOptions& options, TrainingBoard& board, Leases& leases, Monitor& monitor,
                 TrainingMetrics& metrics, const MeasuredRuns& measured_runs, PredictedEnd predicted_end)
    : options_(options),
      board_(board),
      leases_(leases),
      monitor_(monitor),
      metrics_(metrics),
      predicted_end_(std::move(predicted_end)),
      expected_(measured_runs, options.server_id),
      placement_(options.gpu_constants, [this](const auto&... of) { return expected_.seconds(of...); }) {}

void Starter::forget(const std::string& training) {
  placement_.forget(training);
  noted_at_.erase(training);
  step_ms_.erase(training);
}

RunningJob Starter::running(const TrainingRow& training) const {
  RunningJob job{training.id, device_list(training.device_uuids), predicted_end_(training)};
  if (training.time_limit_s) {  // which counts from the start of its launcher
    const double limit = epoch_seconds() - process_age(training.launcher_start_time) +
                         static_cast<double>(*training.time_limit_s);
    job.ends_at = std::min(limit, job.ends_at.value_or(limit));
  }
  return job;
}

// As fast as it went before it was paused or lost its devices.
std::optional<double> Starter::seconds_left(const TrainingRow& training) {
  const int64_t begin = training.from_checkpoint.value_or(training.current_step);
  if (training.attempt == 0 || training.total_steps <= begin) return std::nullopt;
  const auto [known, fresh] = step_ms_.try_emplace(training.id);
  if (fresh) {
    for (const LatestMetric& metric : metrics_.latest(training.id))
      if (metric.name == "step_ms") known->second = metric.value;
  }
  if (!known->second) return std::nullopt;
  return *known->second / 1e3 * static_cast<double>(training.total_steps - begin);
}

void Starter::add_waiting(ScheduleInput& input, const TrainingRow& training, const Snapshot& snapshot) {
  WaitingJob job = placement_.waiting(training, snapshot, seconds_left(training));
  for (const std::string& id : device_list(training.after)) {
    const auto before = board_.store().find(id);
    if (!before || before->status == Status::completed) continue;
    if (is_final(before->status))
      job.failed_dependency = id;
    else
      job.waiting_for.push_back(id);
  }
  input.waiting.push_back(std::move(job));
}

ScheduleInput Starter::input_of(const std::vector<TrainingRow>& active,
                                const std::vector<TrainingRow>& queued, const Snapshot& snapshot) {
  ScheduleInput input;
  input.snapshot = snapshot;
  input.now = epoch_seconds();
  for (const TrainingRow& row : active) {
    if (row.launcher_pid != 0) input.running.push_back(running(row));
    if (must_start_again(row)) add_waiting(input, row, snapshot);
  }
  // Queued again while its processes are still ending: it waits for them first.
  for (const TrainingRow& row : queued)
    if (row.launcher_pid == 0) add_waiting(input, row, snapshot);
  return input;
}

Decisions Starter::foresee(const std::vector<TrainingRow>& active, const std::vector<TrainingRow>& queued,
                           const std::vector<TrainingRow>& fresh, const Snapshot& snapshot) {
  std::vector<TrainingRow> all = queued;
  for (const TrainingRow& row : fresh) {
    all.push_back(row);
    all.back().arrival = INT64_MAX;
  }
  return schedule(input_of(active, all, snapshot));
}

void Starter::settle() {
  while (!owed_.empty()) {
    leases_.release(*owed_.begin());
    owed_.erase(owed_.begin());
  }
}

bool Starter::place(const std::vector<TrainingRow>& active, const std::vector<TrainingRow>& queued,
                    const Snapshot& snapshot) {
  std::map<std::string, const TrainingRow*> rows;
  for (const TrainingRow& row : active) rows[row.id] = &row;
  for (const TrainingRow& row : queued) rows[row.id] = &row;
  const Decisions decisions = schedule(input_of(active, queued, snapshot));
  bool any = false;
  std::exception_ptr error;  // of one must not hold up the others
  const double until = monotonic_seconds() + kRoundSeconds;
  for (const Start& one : decisions.starts) {
    if (monotonic_seconds() > until) {  // the next round, which comes at once, looks at the devices again
      any = true;
      break;
    }
    try {
      any |= start(*rows.at(one.id), one, snapshot);
    } catch (const Error&) {
      error = std::current_exception();
    }
  }
  for (const Wait& one : decisions.waits) {
    const std::string frees = one.frees.empty() ? "" : "; " + joined(one.frees);
    wait(*rows.at(one.id), {one.reason.code, one.reason.message + frees}, one.expected_start);
  }
  if (error) std::rethrow_exception(error);
  return any;
}

void Starter::wait(const TrainingRow& training, const Reason& reason, std::optional<double> expected_start) {
  if (training.status == Status::starting && reason.code == "driver") return;  // it soon tells
  if (training.status == Status::starting) {  // it was to start again at once, and cannot
    const auto to = next_state(training.status, Cause::no_devices);
    board_.change(training.id, training.status, *to, {reason.code, reason.message, Severity::warning});
    return;
  }
  const double now = monotonic_seconds();
  double& noted_at = noted_at_[training.id];
  const bool other_text = training.reason_message != reason.message && now - noted_at >= kNoteEvery;
  // Another place in the queue: whether anybody can tell when it starts is no matter of seconds.
  const bool other_outlook = training.expected_start.has_value() != expected_start.has_value();
  if (training.reason_code == reason.code && !other_text && !other_outlook) return;
  noted_at = now;
  TrainingChange change;
  change.reason_code.emplace(reason.code);
  change.reason_message.emplace(reason.message);
  std::optional<int64_t> expected;
  if (expected_start) expected = static_cast<int64_t>(*expected_start * 1e3);
  change.expected_start = expected;
  board_.note(training.id, training.status, change);
}

std::optional<Reason> Starter::cannot_prepare(const TrainingRow& training) const {
  const auto run = options_.data / "trainings" / training.id;
  try {
    const int64_t needed = disk_room(run_config_from_json(Json::parse(training.config)));
    std::error_code error;
    const auto space = std::filesystem::space(options_.data, error);
    if (!error && static_cast<int64_t>(space.available) < needed)
      return Reason{"no_disk_room",
                    fmt::format("{} has {:.1f} GB free; a checkpoint and the SAE take {:.1f} GB",
                                options_.data.string(), static_cast<double>(space.available) / 1e9,
                                static_cast<double>(needed) / 1e9)};
    prepare_run(run, training);
  } catch (const Error& error) {
    return Reason{"cannot_start", error.what()};
  }
  return std::nullopt;
}

std::optional<Reason> Starter::take_devices(const TrainingRow& training,
                                            const std::vector<std::string>& devices) {
  LeaseHolder holder;
  holder.job_id = training.id;
  holder.server_id = options_.server_id;
  holder.host = options_.host;
  holder.boot_id = boot_id();
  holder.server_pid = ::getpid();
  holder.server_start_time = process_start_time(::getpid());
  std::vector<Refusal> refusals;
  try {
    refusals = reserve(monitor_, leases_, devices, holder);
  } catch (...) {
    owed_.insert(training.id);
    throw;
  }
  if (refusals.empty()) return std::nullopt;
  return Reason{refusals.front().reason.code,
                fmt::format("{}: {}", refusals.front().uuid, refusals.front().reason.message)};
}

void Starter::give_back(const std::string& training) {
  owed_.insert(training);
  leases_.release(training);
  owed_.erase(training);
}

bool Starter::start(const TrainingRow& training, const Start& start, const Snapshot& snapshot) {
  auto reason = cannot_prepare(training);
  if (!reason) reason = take_devices(training, start.devices);
  if (reason) {
    wait(training, *reason, std::nullopt);
    return false;
  }
  std::optional<TrainingRow> starting;
  try {
    starting = to_starting(training, start, snapshot);
  } catch (...) {
    owed_.insert(training.id);
    throw;
  }
  if (starting) return launch(*starting, start, snapshot);
  give_back(training.id);  // somebody cancelled it in this moment
  return false;
}

std::optional<TrainingRow> Starter::to_starting(const TrainingRow& training, const Start& start,
                                                const Snapshot& snapshot) {
  TrainingChange change;
  change.device_uuids = Json(start.devices).dump();
  change.gpu_ids = Json(indices_of(start.devices, snapshot)).dump();
  change.world_size = static_cast<int64_t>(start.devices.size());
  change.distributed = start.devices.size() > 1;
  if (!training.started_at) change.started_at.emplace(static_cast<int64_t>(epoch_seconds() * 1e3));
  const auto to = training.status == Status::queued ? next_state(training.status, Cause::devices_taken)
                                                    : std::optional(training.status);
  return board_.change(training.id, training.status, *to, {to_string(*to), joined(start.reasons)}, change);
}

void Starter::record(const TrainingRow& training, const ProcessId& process) {
  TrainingChange change;
  change.launcher_pid = process.pid;
  change.launcher_start_time = process.start_time;
  change.boot_id = boot_id();
  change.host = options_.host;
  if (!leases_.bind(training.id, process.pid, process.start_time) ||
      !board_.note(training.id, training.status, change))
    fail(ErrorCode::cancelled, "the training was moved while it was started");
}

bool Starter::launch(const TrainingRow& training, const Start& start, const Snapshot& snapshot) {
  const JobLaunch job{options_.program, options_.worker, options_.data / "trainings" / training.id, training,
                      start.devices};
  try {
    launch_job(job, snapshot, [&](const ProcessId& process) { record(training, process); });
    log_line(LogLevel::info,
             fmt::format("training {} ({}) starts on {}", training.id, training.name, joined(start.devices)));
    return true;
  } catch (const Error& error) {
    give_back(training.id);
    if (error.code() == ErrorCode::cancelled) return false;
    if (error.code() == ErrorCode::retry) throw;  // it starts with the next call
    const auto to = next_state(training.status, Cause::could_not_start);
    TrainingChange change;
    change.launcher_pid = 0;
    change.launcher_start_time = 0;
    change.error.emplace(error.what());
    board_.change(training.id, training.status, *to, {"could_not_start", error.what(), Severity::error},
                  change);
    return false;
  }
}

}  // namespace saemill
