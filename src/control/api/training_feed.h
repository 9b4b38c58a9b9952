// What becomes of trainings, on the live channels.
//
//   trainings                  training:created, training:status, training:deleted: the training, without
//                              `config` and `metrics`; seq counts within one boot
//   trainings/{id}/progress    training:warning for the event "warning" of events.jsonl, training:progress
//   for
//                              every other: the line. The reader's own warning, which has no seq, is a tick.
//                              And ticks of the training as it is, as above: training:completed,
//                              training:failed, else training:status
//   trainings/{id}/checkpoints checkpoint:created {step, name, bytes, time?, deleted: [step]},
//                              checkpoint:deleted {steps: [step]}
//   trainings/{id}/logs        is opened and closed here; LogWatch tells on it
//   events                     event:created, a machine event
//
// seq of trainings/{id}/... is that of the line in events.jsonl, so it survives a restart of the server; it
// has gaps among checkpoints. Nothing is sent under two messages of one seq, since a client that was cut off
// between them would come back with `since` of the first and never learn the second: what a new checkpoint
// drove out stands in its `deleted`, and checkpoint:deleted is of a rewind. What somebody has deleted is no
// line and has no seq: it is a tick, of all that were deleted since the start of the server and are not there
// again.
#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "control/api/hub.h"
#include "control/jobs/training_listener.h"
#include "control/store/checkpoints.h"

namespace saemill::api {

// Thread-safe.
class TrainingFeed : public TrainingListener {
 public:
  explicit TrainingFeed(Hub& hub);

  // Once, before Jobs::start(): all that are stored, each going on behind the last line that was stored.
  // `checkpoints` says which there are of a training; it is not asked for those that are completed.
  void open_all(const std::vector<TrainingRow>& trainings,
                const std::function<std::vector<CheckpointRow>(const std::string& training)>& checkpoints);

  void on_created(const TrainingRow& training) override;
  void on_changed(const TrainingRow& training) override;
  void on_deleted(const TrainingRow& last) override;
  void on_checkpoint_erased(const std::string& training, int64_t step) override;
  void on_run_event(const std::string& training, const AppliedEvent& event) override;
  void on_machine_event(const MachineEvent& event) override;

 private:
  void open(const TrainingRow& training);
  void tick(const TrainingRow& training);
  void on_checkpoint(const std::string& training, const AppliedEvent& event);
  void tick_erased(const std::string& training, const std::set<int64_t>& steps);
  void on_rewind(const std::string& training, const AppliedEvent& event);

  Hub& hub_;
  std::mutex mutex_;
  std::map<std::string, std::set<int64_t>> checkpoints_;  // steps, of trainings that have some
  std::map<std::string, std::set<int64_t>> erased_;       // steps that somebody deleted
};

}  // namespace saemill::api
