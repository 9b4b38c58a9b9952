// From the queue to running launchers: asks schedule() what starts, takes the devices, and starts it; tells
// the others why they wait.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "control/jobs/expected_duration.h"
#include "control/jobs/jobs.h"
#include "control/jobs/placement.h"
#include "control/jobs/training_board.h"
#include "control/launch/detached.h"
#include "control/store/training_metrics.h"

namespace saemill {

// Not thread-safe.
class Starter {
 public:
  using PredictedEnd = std::function<std::optional<double>(const TrainingRow& training)>;
  Starter(const JobsOptions& options, TrainingBoard& board, Leases& leases, Monitor& monitor,
          TrainingMetrics& metrics, const MeasuredRuns& measured_runs, PredictedEnd predicted_end);

  // Gives back the leases that could not be given back when that was due. Error{retry}: the store is away.
  void settle();

  // `active`: those that hold devices or have a launcher; of them, those that must start again wait too.
  // True: something was started, or is to be in another round, which is to come at once. Error{retry}: the
  // store is away, or the disk refuses one of them; the others were placed.
  bool place(const std::vector<TrainingRow>& active, const std::vector<TrainingRow>& queued,
             const Snapshot& snapshot);

  // What place() would do if `fresh` were in the queue as well.
  Decisions foresee(const std::vector<TrainingRow>& active, const std::vector<TrainingRow>& queued,
                    const std::vector<TrainingRow>& fresh, const Snapshot& snapshot);
  void forget(const std::string& training);

 private:
  ScheduleInput input_of(const std::vector<TrainingRow>& active, const std::vector<TrainingRow>& queued,
                         const Snapshot& snapshot);
  void add_waiting(ScheduleInput& input, const TrainingRow& training, const Snapshot& snapshot);
  RunningJob running(const TrainingRow& training) const;
  std::optional<double> seconds_left(const TrainingRow& training);
  bool start(const TrainingRow& training, const Start& start, const Snapshot& snapshot);
  std::optional<Reason> cannot_prepare(const TrainingRow& training) const;
  std::optional<Reason> take_devices(const TrainingRow& training, const std::vector<std::string>& devices);
  std::optional<TrainingRow> to_starting(const TrainingRow& training, const Start& start,
                                         const Snapshot& snapshot);
  bool launch(const TrainingRow& training, const Start& start, const Snapshot& snapshot);
  void record(const TrainingRow& training, const ProcessId& process);
  void wait(const TrainingRow& training, const Reason& reason, std::optional<double> expected_start);
  void give_back(const std::string& training);

  const JobsOptions& options_;
  TrainingBoard& board_;
  Leases& leases_;
  Monitor& monitor_;
  TrainingMetrics& metrics_;
  PredictedEnd predicted_end_;
  ExpectedDuration expected_;
  Placement placement_;
  std::map<std::string, std::optional<double>> step_ms_;  // of those that ran before, as last measured
  std::map<std::string, double> noted_at_;                // monotonic: when why it waits was last written
  std::set<std::string> owed_;                            // whose leases could not be given back yet
};

}  // namespace saemill
