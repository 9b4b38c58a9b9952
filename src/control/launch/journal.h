// The events of one job: written to RUN/events.jsonl first, then shown to the observer.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>

#include "common/protocol/events.h"
#include "control/launch/observer.h"
#include "control/launch/run_folder.h"

namespace saemill {

class Journal {
 public:
  Journal(const RunFolder& run, JobObserver& observer);

  // Adds seq, time and attempt. Must have "event". An event that does not fit into a line becomes a warning.
  void write(const nlohmann::ordered_json& event);

  void sync() { log_.sync(); }  // what was written survives a loss of power

  void set_attempt(int64_t attempt) { attempt_ = attempt; }
  int64_t attempt() const { return attempt_; }
  int64_t last_step() const { return history_.last_step; }
  int64_t last_checkpoint() const { return history_.last_checkpoint; }
  int64_t chosen_step() const { return history_.chosen_step; }
  JobObserver& observer() { return observer_; }

 private:
  EventLog log_;
  JobObserver& observer_;
  EventHistory history_;
  int64_t attempt_ = 0;
};

}  // namespace saemill
