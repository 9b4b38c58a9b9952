// The logs of a training: logs/rank-K.log and launcher.log in its run folder.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace saemill::api {

struct TrainingLog {
  std::string rank;   // "0", "1", ..., "launcher"
  int64_t bytes = 0;  // of its file, which is begun anew when it grows too long
};

// Those that are there: ranks as numbers, then the launcher's. Error{retry}: the folder cannot be read.
std::vector<TrainingLog> logs_of(const std::filesystem::path& run);

}  // namespace saemill::api
