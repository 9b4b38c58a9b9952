// How fast trainings went, for whoever predicts how fast another one goes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "control/store/database.h"

namespace saemill {

// Medians over the last kLogged logged steps, of all ranks together. Absent: not measured.
struct MeasuredRun {
  std::string training;
  std::string config;        // JSON, resolved
  std::string device_uuids;  // JSON
  std::optional<double> step_ms, data_wait_ms, comm_exposed_ms;
};

// Thread-safe.
class MeasuredRuns {
 public:
  explicit MeasuredRuns(Database& database) : database_(database) {}

  static constexpr int64_t kLogged = 20;
  static constexpr int64_t kMost = 100;

  // The newest kMost that are running or completed, and have logged kLogged steps since they were last
  // started: before, they may have had other devices.
  std::vector<MeasuredRun> newest(const std::string& server_id) const;

 private:
  Database& database_;
};

}  // namespace saemill
