// For tests: a run folder as a launcher and its ranks leave it.
#pragma once

#include <filesystem>
#include <fstream>
#include <string>

#include "control/store/run_events.h"
#include "control/store/trainings.h"

namespace saemill::api {

inline void write_file(const std::filesystem::path& path, const std::string& content) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << content;
}

inline void write_run(const std::filesystem::path& run) {
  const auto checkpoint = run / "checkpoints" / "step-00000010";
  write_file(checkpoint / "manifest.json", "{}");
  write_file(checkpoint / "rows.safetensors", "0123456789");
  write_file(run / "sae" / "cfg.json", R"({"d_in": 64})");
  write_file(run / "sae" / "rows.safetensors", "abcdef");
  write_file(run / "logs" / "rank-0.log", "one\ntwo\n");
  write_file(run / "launcher.log", "started\n");
}

// In the store, with a checkpoint of step 10.
inline void add_training(Database& database, const std::string& id,
                         TrainingStatus status = TrainingStatus::completed) {
  TrainingRow row;
  row.id = id, row.name = "run", row.status = status, row.server_id = "server";
  std::vector<TrainingRow> rows{row};
  Trainings(database).insert(rows);
  RunEvent event;
  event.seq = 1, event.time_ms = 1800000000001, event.event = "checkpoint", event.data = "{}";
  event.step = 10, event.checkpoint = "step-00000010", event.bytes = 12;
  RunEvents(database).apply(id, {}, {.offset = 10, .seq = 1}, {event});
}

}  // namespace saemill::api
