// Who is told what becomes of trainings: the live channels, or a test.
#pragma once

#include <string>

#include "control/jobs/event_reader.h"
#include "control/store/machine_events.h"
#include "control/store/trainings.h"

namespace saemill {

// Called on several threads, one call at a time for one training. Must neither block nor throw, and must not
// call Jobs.
class TrainingListener {
 public:
  virtual ~TrainingListener() = default;
  virtual void on_created(const TrainingRow& training) = 0;
  // Its row has changed: the status, the reason it waits, its devices, its priority.
  virtual void on_changed(const TrainingRow& training) = 0;
  virtual void on_deleted(const TrainingRow& last) = 0;
  // Its checkpoint of that step was deleted, by somebody or with time: events.jsonl says nothing of it.
  virtual void on_checkpoint_erased(const std::string& training, int64_t step) = 0;
  // A line of its events.jsonl, which is stored by now; in the order of seq.
  virtual void on_run_event(const std::string& training, const AppliedEvent& event) = 0;
  // A change of status, as it was stored among the machine's events.
  virtual void on_machine_event(const MachineEvent& event) = 0;
};

}  // namespace saemill
