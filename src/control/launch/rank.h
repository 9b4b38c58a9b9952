// One rank of an attempt, as the launcher knows it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "control/launch/devices.h"
#include "control/launch/log_cap.h"
#include "control/launch/process.h"
#include "control/launch/report_reader.h"

namespace saemill {

struct RankOptions {
  std::filesystem::path worker;
  std::filesystem::path run;
  std::filesystem::path log;
  int index = 0;
  int world_size = 1;
  JobDevice device;
  std::vector<std::string> environment;
  std::vector<int> cores;  // ascending; empty: not pinned, and on a CPU slot one thread
  int memory_fd = -1;
  double deadline = 60;
  std::optional<int64_t> resume_step;
  bool finish = false;
};

struct Rank {
  int index = 0;
  std::string device;
  Process process;
  ReportReader reports;
  LogCap log;
  double last_heartbeat = 0;  // monotonic
  std::string phase = "init";
  int64_t step = 0;
  bool finished = false;
  bool paused = false;
  bool killed = false;  // by the launcher
  bool silent = false;
  std::optional<nlohmann::ordered_json> failed;  // its own report
  int64_t skipped_announced = 0;
};

Rank start_rank(const RankOptions& options);

}  // namespace saemill
