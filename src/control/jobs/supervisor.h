// Looks after trainings that have a launcher: what was asked of them is told to it, one that is silent is
// killed, and one that is proven dead is concluded: its devices are freed, and the training goes where the
// table of states leads.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "control/jobs/event_pump.h"
#include "control/jobs/job_watch.h"
#include "control/jobs/run_end.h"
#include "control/jobs/training_board.h"
#include "control/jobs/training_state.h"
#include "control/store/leases.h"

namespace saemill {

// Not thread-safe.
class Supervisor {
 public:
  struct Options {
    std::filesystem::path runs;
    double hang_after = 120;  // seconds
  };
  Supervisor(Options options, TrainingBoard& board, EventPump& pump, Leases& leases)
      : options_(std::move(options)), board_(board), pump_(pump), leases_(leases) {}

  // Of a training that holds devices or has a launcher. Error{retry}: the store is away; the next call goes
  // on where this one stopped.
  void look_after(const TrainingRow& training);

  // `active` is all that there are: others were concluded though the store's answer to that was lost.
  void keep_only(const std::vector<TrainingRow>& active);

  std::vector<int> ended_fds() const;  // any of them readable: look again
  bool is_ending() const { return ending_ > 0; }
  void begin_round() { ending_ = 0; }

 private:
  JobWatch& watch_of(const TrainingRow& training);
  void attend(const TrainingRow& training, JobWatch& watch);
  void see_that_it_runs(const TrainingRow& training, const JobWatch& watch);
  void settle_without_launcher(const TrainingRow& training);
  void conclude(const TrainingRow& training, JobWatch& watch);
  bool apply_end(const TrainingRow& training, const RunEnd& end, bool rebooted);
  bool finish(const TrainingRow& training, TrainingChange cleared);
  bool lose(const TrainingRow& training, const std::string& message, bool rebooted, TrainingChange cleared);
  bool move(const TrainingRow& training, Cause cause, const StatusReason& reason, TrainingChange more);
  std::filesystem::path run_of(const TrainingRow& training) const { return options_.runs / training.id; }

  Options options_;
  TrainingBoard& board_;
  EventPump& pump_;
  Leases& leases_;
  std::map<std::string, JobWatch> watches_;
  int ending_ = 0;
};

}  // namespace saemill
