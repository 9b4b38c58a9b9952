#include "control/launch/job.h"

#include <unistd.h>

#include <algorithm>

#include "common/base/clock.h"
#include "common/base/error.h"
#include "common/base/file.h"
#include "common/base/proc.h"
#include "common/protocol/events.h"
#include "common/protocol/run_config.h"
#include "control/launch/attempt.h"
#include "control/launch/devices.h"
#include "control/launch/journal.h"
#include "control/launch/orphans.h"
#include "control/launch/resume.h"
#include "control/launch/run_folder.h"
#include "control/launch/signals.h"
#include "control/launch/worker_client.h"

namespace saemill {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kRetry = static_cast<int>(ErrorCode::retry);
constexpr int kCancelled = static_cast<int>(ErrorCode::cancelled);

RunConfig load_config(const JobOptions& options) {
  const fs::path path = options.config.empty() ? options.out / "config.json" : options.config;
  std::error_code error;
  if (!fs::is_regular_file(path, error)) {
    fail(ErrorCode::usage,
         "{}: no such file; accepted: CONFIG.toml, or --resume --out RUN of a run that has one",
         path.string());
  }
  RunConfig config = load_run_config(path, options.overrides);
  if (config.activations.path.empty()) {
    fail(ErrorCode::bad_config, "{}: activations.path is not given; accepted: a shard or a folder of shards",
         path.string());
  }
  // The run must be resumable from any folder.
  config.activations.path = fs::absolute(config.activations.path).lexically_normal().string();
  return config;
}

void refuse_changed_config(const RunFolder& run, const RunConfig& given, const ActivationsInfo& data,
                           int64_t device_count) {
  std::error_code error;
  if (!fs::exists(run.config_path(), error)) return;
  // The server writes the configuration of a new run as it was given, so this one is resolved here too.
  RunConfig before = load_run_config(run.config_path(), {});
  if (!before.activations.path.empty()) {
    before.activations.path = fs::absolute(before.activations.path).lexically_normal().string();
  }
  before = resolve_run_config(before, data.d_in, data.rows, device_count);
  const auto keys = keys_that_change_results(before, given);
  if (keys.empty()) return;
  const Json was = run_config_to_json(before);
  const Json is = run_config_to_json(given);
  std::string changes;
  for (const auto& key : keys) {
    std::string pointer = "/" + key;
    for (char& c : pointer) c = c == '.' ? '/' : c;
    const Json::json_pointer at(pointer);
    changes += fmt::format("{}{} (the run has {}, this configuration {})", changes.empty() ? "" : ", ", key,
                           was.value(at, Json()).dump(), is.value(at, Json()).dump());
  }
  fail(ErrorCode::bad_config,
       "{}: cannot be resumed with a change of {}; accepted: the same values, or a new --out",
       run.path().string(), changes);
}

// While the worker is asked, before the ranks of an attempt are there.
void write_asking(const RunFolder& run, const char* phase, int64_t step) {
  run.write_status({{"state", "starting"},
                    {"step", step},
                    {"phase", phase},
                    {"time", utc_now()},
                    {"pid", ::getpid()},
                    {"start_time", process_start_time(::getpid())},
                    {"ranks", Json::array()}});
}

// A job that is ready to start its first attempt.
struct Prepared {
  RunFolder run;
  AttemptOptions attempt;
  RunConfig config;
  std::optional<int64_t> chosen;  // step of the checkpoint to go back to
  bool finished = false;
};

void check_options(const JobOptions& options) {
  if (options.resume && options.out.empty())
    fail(ErrorCode::usage, "--resume: needs --out RUN, the run to continue");
  if (options.finish && !options.resume)
    fail(ErrorCode::usage, "--finish: needs --resume and --out RUN, the run to finish");
  if (!options.from_checkpoint.empty() && !options.resume)
    fail(ErrorCode::usage, "--from-checkpoint {}: needs --resume and --out RUN, the run that it is of",
         options.from_checkpoint);
  if (options.config.empty() && !options.resume) fail(ErrorCode::usage, "train: needs CONFIG.toml");
}

std::optional<int64_t> chosen_of(const JobOptions& options, const RunFolder& run, bool finished) {
  if (options.from_checkpoint.empty()) return std::nullopt;
  if (finished)
    fail(ErrorCode::usage, "--from-checkpoint {}: {} is finished, and nothing goes on from it",
         options.from_checkpoint, run.path().string());
  return step_of_choice(run, options.from_checkpoint);
}

Prepared prepare(const JobOptions& options, SignalRequests& signals) {
  check_options(options);
  AttemptOptions attempt;
  attempt.devices = options.devices;
  ensure(!attempt.devices.empty(), "a job without devices");
  attempt.worker = find_worker(options.worker);
  attempt.deadline = options.deadline;
  attempt.finish = options.finish;
  RunConfig config = load_config(options);
  const auto device_count = static_cast<int64_t>(attempt.devices.size());
  std::optional<RunFolder> run;
  if (!options.out.empty()) run = RunFolder::open(options.out, options.resume);
  const bool finished = run && options.resume && run->finished();
  const auto chosen = run ? chosen_of(options, *run, finished) : std::nullopt;
  const SignOfLife alive = [&] {
    if (run && !finished) write_asking(*run, "inspect", 0);
  };
  alive();
  std::error_code error;
  if (finished && !fs::exists(config.activations.path, error)) {
    // Nothing is left to train, so its activations may be gone; without them nothing can be compared.
    return {std::move(*run), attempt, config, chosen, finished};
  }
  const auto data =
      inspect_activations(attempt.worker, config.activations.path, config.activations.tensor, signals, alive);
  config = resolve_run_config(config, data.d_in, data.rows, device_count);
  attempt.total_steps = config.train.steps;
  if (options.resume) refuse_changed_config(*run, config, data, device_count);
  if (!run) run = RunFolder::create_numbered("runs", config.name);
  if (!finished) run->begin(run_config_to_json(config));
  return {std::move(*run), attempt, config, chosen, finished};
}

AttemptResult run_attempts(const JobOptions& options, Prepared& prepared, Journal& journal,
                           SignalRequests& signals) {
  const SignOfLife alive = [&] {
    write_asking(prepared.run, "resume", std::max<int64_t>(0, journal.last_step()));
  };
  const auto resume_point = [&](std::optional<int64_t> chosen) {
    return find_resume_point(prepared.attempt.worker, prepared.run, journal, chosen, signals, alive);
  };
  ResumePoint point;
  if (options.resume) point = resume_point(prepared.chosen);
  for (int restarts = 0;; ++restarts) {
    journal.set_attempt(journal.attempt() + 1);
    if (options.finish && !point.step)
      fail(ErrorCode::bad_data, "{}: holds no whole checkpoint that --finish could export",
           prepared.run.path().string());
    announce_start(prepared.run, journal, point);
    prepared.attempt.resume_step = point.step;
    AttemptResult result = Attempt(prepared.attempt, prepared.run, journal, signals).run();
    if (const int left = Orphans::end_all(); left > 0)
      journal.write({{"event", "warning"},
                     {"code", "orphans_killed"},
                     {"message", fmt::format("{} process(es) that ranks left behind were killed", left)},
                     {"rank", 0}});
    const bool again = result.code == kRetry && !result.stop_asked && restarts < options.max_restarts;
    if (!again) return result;
    journal.observer().on_message(result.message);
    journal.observer().on_message(fmt::format("restart {} of {}", restarts + 1, options.max_restarts));
    journal.write({{"event", "warning"},
                   {"code", "restart"},
                   {"message", result.message},
                   {"rank", result.cause ? result.cause->rank : 0}});
    point = resume_point(std::nullopt);
  }
}

// The ranks are gone once an error has come this far. It still ends the run, and RUN must say so: whoever
// reads the folder (a server that did not start this launcher) has no exit code to go by.
AttemptResult run_attempts_to_an_end(const JobOptions& options, Prepared& prepared, Journal& journal,
                                     SignalRequests& signals) {
  try {
    return run_attempts(options, prepared, journal, signals);
  } catch (const Error& error) {
    AttemptResult result;
    result.code = error.exit_code();
    result.step = std::max<int64_t>(0, journal.last_step());
    result.message = error.what();
    return result;
  }
}

Json exit_of(const AttemptResult& result) {
  Json exit{{"code", result.code}};
  if (result.code == 0) {
    exit["reason"] = "finished";
  } else if (result.code == kCancelled) {
    exit["reason"] = result.last_word.is_null() ? "cancelled" : "paused";
  } else {
    exit["reason"] = result.cause ? result.cause->reason : result.message;
  }
  if (result.cause) {
    exit["rank"] = result.cause->rank;
    exit["device"] = result.cause->device;
    exit["phase"] = result.cause->phase;
  }
  exit["step"] = result.cause ? result.cause->step : result.step;
  return exit;
}

void write_end(const RunFolder& run, Journal& journal, const AttemptResult& result, int64_t total_steps) {
  const Json exit = exit_of(result);
  const std::string reason = exit["reason"];
  std::string state = "failed";
  if (!result.last_word.is_null() && (result.code == 0 || result.code == kCancelled)) {
    state = result.code == 0 ? "completed" : "paused";
    Json event = result.last_word;
    event.erase("rank");
    journal.write(event);
  } else {
    if (result.code == kCancelled) state = "cancelled";
    Json event{{"event", "failed"}};
    event.update(exit);
    journal.write(event);
  }
  run.write_status({{"state", state},
                    {"step", exit["step"]},
                    {"total_steps", total_steps},
                    {"phase", "ended"},
                    {"attempt", journal.attempt()},
                    {"time", utc_now()},
                    {"reason", reason},
                    {"ranks", Json::array()}});
  run.write_exit(exit);
}

}  // namespace

JobResult run_job(const JobOptions& options, JobObserver& observer) {
  SignalRequests signals;
  const Orphans orphans;
  Prepared prepared = prepare(options, signals);
  JobResult job;
  job.run = prepared.run.path();
  job.activations = prepared.config.activations.path;
  job.already_finished = prepared.finished;
  if (prepared.finished) {
    for (const auto& event : read_events(prepared.run.events_path()))
      if (event.value("event", "") == "finished")
        job.report = event.value("report", nlohmann::json::object());
    return job;
  }
  observer.on_message(fmt::format("run folder: {}", job.run.string()));
  Journal journal(prepared.run, observer);
  const AttemptResult result = run_attempts_to_an_end(options, prepared, journal, signals);
  write_end(prepared.run, journal, result, prepared.attempt.total_steps);
  job.code = result.code;
  job.message = result.message;
  if (result.code == kCancelled && !result.last_word.is_null()) {
    job.message = fmt::format("stopped at step {}; continue with: saemill train --resume --out {}",
                              result.step, job.run.string());
  }
  if (result.code == 0) job.report = result.last_word.value("report", Json::object());
  return job;
}

}  // namespace saemill
