// gpu_metrics_history: what each device measured, with the job that held it. Rows are buckets of 1 s, 10 s or
// 60 s, each second in exactly one of them: 1 s for an hour, 10 s for a day, 60 s for 30 days. Thinning
// merges buckets and keeps min, mean (weighted by samples) and max, so no spike is ever lost before the 30
// days end.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "control/store/database.h"

namespace saemill {

// The columns, as `{name}_min`, `{name}_mean`, `{name}_max`, `{name}_count`. Units as in the device's JSON.
inline constexpr std::array<const char*, 13> kHistoryFields = {
    "utilization", "memory_utilization", "memory_used", "temperature", "power_draw", "energy",   "fan_speed",
    "clocks_sm",   "clocks_memory",      "pcie_tx",     "pcie_rx",     "nvlink_tx",  "nvlink_rx"};

struct HistorySample {
  std::string uuid;
  int64_t time_ms = 0;                                              // epoch milliseconds
  std::string job_id;                                               // empty: none
  std::array<std::optional<double>, kHistoryFields.size()> values;  // absent: the device cannot tell
};

struct HistoryQuery {
  std::string uuid;
  int64_t from = 0, to = 0;         // epoch seconds, [from, to)
  int64_t buckets = 300;            // at most so many are answered
  std::vector<std::string> fields;  // of kHistoryFields; empty: all
};

struct HistorySeries {
  struct Field {
    std::string name;
    std::vector<std::optional<double>> min, mean, max;  // absent where nothing was measured
  };
  int64_t bucket_s = 1;       // every bucket is so wide; a multiple of the coarsest row it holds
  std::vector<int64_t> time;  // start of each bucket that holds something, ascending, epoch seconds
  std::vector<Field> fields;
  std::vector<std::string> job;  // the job of most of the bucket's samples; empty: none
};

// Thread-safe.
class DeviceHistory {
 public:
  explicit DeviceHistory(Database& database) : database_(database) {}

  // Merges the samples into their 1 s buckets, all in one transaction.
  void add(const std::vector<HistorySample>& samples);

  // Merges 1 s buckets older than an hour into 10 s, 10 s buckets older than a day into 60 s, and deletes
  // what is older than 30 days. `now` in epoch seconds. One transaction per step, of at most an hour of rows
  // each, so that writers wait little.
  void thin(int64_t now);

  // Error{usage}: an unknown field (names those that exist), buckets < 1, or from >= to.
  HistorySeries query(const HistoryQuery& query) const;

 private:
  Database& database_;
};

}  // namespace saemill
