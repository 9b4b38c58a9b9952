// Inside of Jobs. Private to this folder.
#pragma once

#include <sys/eventfd.h>

#include <atomic>
#include <mutex>
#include <thread>

#include "control/jobs/event_pump.h"
#include "control/jobs/jobs.h"
#include "control/jobs/starter.h"
#include "control/jobs/supervisor.h"
#include "control/jobs/trash.h"
#include "control/store/checkpoints.h"
#include "control/store/training_metrics.h"

namespace saemill {

struct Jobs::Impl {
  Impl(JobsOptions given, Database& database, Leases& its_leases, Monitor& its_monitor,
       TrainingListener& listener);

  std::filesystem::path runs() const { return options.data / "trainings"; }
  void wake() const { ::eventfd_write(wake_fd.get(), 1); }
  void on_started(const std::string& id);
  std::shared_ptr<const Snapshot> fresh_snapshot();

  // One look at everything. Error{retry}: the store is away, and the next look goes on.
  void look();
  void look_and_go_on();
  void loop();
  void delete_old_ones();
  void erase(const TrainingRow& row);  // under `pass`
  // Of a checkpoint that is there. Refused no_checkpoint.
  int64_t step_of(const TrainingRow& row, const std::string& checkpoint);
  std::optional<TrainingRow> accept(const TrainingRow& row, Action action, TrainingState to,
                                    TrainingChange change);

  const JobsOptions options;
  Leases& leases;
  Monitor& monitor;
  Checkpoints checkpoints;
  TrainingMetrics metrics;
  MeasuredRuns measured_runs;
  TrainingBoard board;
  EventPump pump;
  Trash trash;  // on the file system of the runs, under a name that no id has

  std::mutex pass;  // over the next five
  Supervisor supervisor;
  Starter starter;
  bool recovered = false;
  double deleted_at = 0;  // monotonic

  Fd wake_fd;
  std::atomic<bool> stopping = false;
  mutable std::mutex last_mutex;
  Jobs::Look last;
  std::thread thread;
};

int64_t now_ms();  // since the epoch

}  // namespace saemill
