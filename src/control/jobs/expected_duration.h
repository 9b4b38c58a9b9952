// How long trainings that wait will take, by those that ran on this machine.
#pragma once

#include <limits>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common/protocol/run_config.h"
#include "control/monitor/inventory.h"
#include "control/select/speed_estimate.h"
#include "control/store/measured_runs.h"
#include "control/store/trainings.h"

namespace saemill {

// Not thread-safe.
class ExpectedDuration {
 public:
  ExpectedDuration(const MeasuredRuns& measured, std::string server_id)
      : measured_(measured), server_id_(std::move(server_id)) {}

  // Of the steps that are left, in seconds, on devices like these. Absent: nothing ran on such devices, or
  // the steps are not known. What was learned is up to 10 s old, so that a long queue costs little.
  std::optional<double> seconds(const TrainingRow& training, const RunConfig& config,
                                const std::vector<std::string>& devices, const Snapshot& snapshot);

 private:
  void learn(const Snapshot& snapshot);

  const MeasuredRuns& measured_;
  std::string server_id_;
  std::vector<PastRun> past_;
  double learned_at_ = -std::numeric_limits<double>::infinity();  // monotonic
  std::map<std::string, std::optional<double>> step_seconds_;     // by training and devices, since then
};

}  // namespace saemill
