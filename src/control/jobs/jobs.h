// The trainings of one server: what a person may ask of them, and what becomes of them on its own.
//
//   create, control, erase (any thread) -> the row says what is wanted -> the supervisor makes it so
//
// All state is in the store and in run folders. A server that is killed at any point goes on from there.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "control/jobs/training_listener.h"
#include "control/jobs/training_state.h"
#include "control/monitor/monitor.h"
#include "control/select/device_estimate.h"
#include "control/store/leases.h"

namespace saemill {

struct JobsOptions {
  std::filesystem::path data;     // run folders are DATA/trainings/{id}
  std::filesystem::path program;  // saemill, which is the launcher
  std::filesystem::path worker;   // saemill-worker
  std::string server_id, host;
  double hang_after = 120;            // seconds without a sign of life after which a launcher is killed
  int64_t keep_checkpoints_days = 0;  // of completed trainings; 0: for ever
  int64_t keep_trainings_days = 0;    // that ended, with all they left; 0: for ever
  MeasuredConstants gpu_constants;    // what was measured of a GPU
};

// What a training is not in a state for, or this machine. Code: not_found, bad_state, gpu_unavailable.
class Refused : public std::runtime_error {
 public:
  Refused(std::string code, const std::string& message)
      : std::runtime_error(message), code_(std::move(code)) {}
  const std::string& code() const { return code_; }

 private:
  std::string code_;
};

// Devices: uuids that it must have from now on, or how many of any; neither: as before.
struct ControlRequest {
  Action action = Action::pause;
  std::vector<std::string> device_uuids = {};  // resume, retry, finish of a paused one
  std::optional<int64_t> device_count = {};    // the same
  std::optional<int64_t> priority = {};        // resume, retry, hold, release; prioritize needs it
  std::optional<std::string> checkpoint = {};  // resume, retry: go on from this one, not from the newest
};

// Thread-safe. Error{retry} where the store does not answer.
class Jobs {
 public:
  Jobs(JobsOptions options, Database& database, Leases& leases, Monitor& monitor, TrainingListener& listener);
  ~Jobs();
  Jobs(const Jobs&) = delete;
  Jobs& operator=(const Jobs&) = delete;

  // Begins to supervise: finds running launchers again, goes on reading their events, starts what can start.
  // Without it trainings only wait.
  void start();
  void stop();  // launchers go on

  // Into the queue, all or none. Of each row is taken: name, config (resolved), total_steps, asked_gpu_ids
  // (JSON, uuids), device_count, priority, held, after, time_limit_s, max_restarts. Several rows become a
  // group. `now`: one that cannot start at once is not there either: Refused gpu_unavailable, with what
  // stands in its way.
  std::vector<TrainingRow> create(std::vector<TrainingRow> rows, bool now);

  // The row as it is after the request was accepted, which may be before it has come true.
  TrainingRow control(const std::string& id, const ControlRequest& request);

  // With its files. Refused not_found; bad_state while the training may write some, or needs this one.
  void erase_checkpoint(const std::string& id, const std::string& name);

  // With its folder. One that holds devices, or whose processes have not ended yet, is Refused.
  void erase(const std::string& id);

  std::filesystem::path run_folder(const std::string& id) const;

  struct Look {
    int64_t queued = 0, active = 0;  // as of the last look
    double pass_ms = 0;              // that it took
    std::string error;               // of the last look; empty: it worked
  };
  Look last_look() const;

 private:
  void withdraw(const TrainingRow& row);

  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace saemill
