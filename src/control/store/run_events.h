// How events of a run come into the tables: a batch of lines and the place in the file behind them, in one
// transaction. Nothing else writes training_metrics, training_events and (but for Checkpoints::remove)
// checkpoints.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "control/store/database.h"
#include "control/store/training_metrics.h"

namespace saemill {

struct RunMetric {
  std::string name;             // at most kLongestMetricName bytes
  std::optional<double> value;  // absent: not finite
  int64_t rank = kAllRanks;
};

struct RunEvent {
  int64_t seq = 0;      // 0: the reader's own, of which there is one row
  int64_t time_ms = 0;  // epoch milliseconds; 0: unknown
  int64_t attempt = 0;
  std::string event;
  std::string data;  // JSON: the line
  std::optional<int64_t> step = {}, total_steps = {};
  std::vector<RunMetric> metrics = {};            // event "metrics"
  std::string checkpoint = {};                    // event "checkpoint": the name of its folder
  std::optional<std::vector<int64_t>> kept = {};  // event "checkpoint": the steps that are still on the disk
  int64_t bytes = 0;
  bool chosen = false;  // event "rewind": what trainings.from_checkpoint asked for
};

// How far the events of a run have been applied.
struct RunPosition {
  int64_t offset = 0;   // bytes
  int64_t seq = 0;      // the last
  int64_t skipped = 0;  // lines so far that were no events
  int64_t attempt = 0;  // the highest
};

// Thread-safe, and safe beside other servers on the same database.
class RunEvents {
 public:
  explicit RunEvents(Database& database) : database_(database) {}

  // Absent: there is no such training.
  std::optional<RunPosition> position(const std::string& training) const;

  // All of `events`, in order, and the new position, current_step, total_steps and attempt of the training;
  // or nothing, and false, where it does not stand at `before` (somebody else was faster).
  //   metrics     a row per value, in the place of an earlier one of that (name, rank, step)
  //   checkpoint  its row, in the place of an earlier one of that step; marks those of earlier steps that
  //               are not among `kept` as removed; also an event
  //   rewind      deletes metrics and marks checkpoints of later steps; a chosen one empties from_checkpoint
  //               where it says that step; also an event
  //   other       an event
  bool apply(const std::string& training, const RunPosition& before, const RunPosition& after,
             const std::vector<RunEvent>& events);

 private:
  Database& database_;
};

}  // namespace saemill
