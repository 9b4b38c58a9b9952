// For tests: a training that earlier ran on this machine.
#pragma once

#include <string>
#include <vector>

#include "control/store/run_events.h"
#include "control/store/trainings.h"

namespace saemill::testing_tools {

// In the store, completed: 20 logged steps of 100 ms on these devices (JSON, uuids).
inline void add_measured(Database& database, const std::string& id, const std::string& config,
                         const std::string& device_uuids, double comm_exposed_ms = 0) {
  TrainingRow row;
  row.id = id, row.name = "run", row.status = TrainingStatus::completed, row.server_id = "server";
  row.config = config, row.device_uuids = device_uuids;
  std::vector<TrainingRow> rows{row};
  Trainings(database).insert(rows);
  std::vector<RunEvent> events;
  for (int64_t step = 1; step <= 20; ++step) {
    RunEvent& event = events.emplace_back();
    event.seq = step, event.event = "metrics", event.step = step;
    event.metrics = {{"step_ms", 100}, {"data_wait_ms", 0}, {"comm_exposed_ms", comm_exposed_ms}};
  }
  RunEvents(database).apply(id, {}, {.offset = 10, .seq = 20}, events);
}

}  // namespace saemill::testing_tools
