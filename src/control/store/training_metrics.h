// training_metrics: one value per (training, name, rank, step), written by RunEvents. Charts are read from
// here in buckets of steps that the database makes, so a run of a million values costs no memory.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "control/store/database.h"

namespace saemill {

inline constexpr int64_t kAllRanks = -1;           // the rank of a value that is reduced over all of them
inline constexpr int64_t kMostStep = 1LL << 53;    // that a step or seq may be
inline constexpr size_t kLongestMetricName = 200;  // bytes; PostgreSQL limits what an index holds

struct MetricQuery {
  std::string training = {};
  std::vector<std::string> names = {};  // empty: all that it has
  int64_t rank = kAllRanks;
  int64_t from_step = 0, to_step = kMostStep;  // both included
  int64_t buckets = 300;                       // at most so many are answered
};

struct MetricSeries {
  struct Metric {
    std::string name;
    std::vector<std::optional<double>> min, mean, max;  // absent: nothing finite was measured
  };
  // Of each bucket that holds something, ascending: its first step and that one's time, in epoch seconds.
  std::vector<int64_t> step;
  std::vector<double> time;
  std::vector<Metric> metrics;  // in the order of the query's names
  bool exact = true;            // every bucket holds one step
};

struct LatestMetric {
  std::string name;
  int64_t step = 0;
  int64_t time_ms = 0;          // epoch milliseconds
  std::optional<double> value;  // absent: not finite
};

// Thread-safe.
class TrainingMetrics {
 public:
  explicit TrainingMetrics(Database& database) : database_(database) {}

  static constexpr int64_t kMostBuckets = 10000;
  static constexpr size_t kMostNames = 100;

  // Buckets begin at multiples of a width of 1, 2 or 5 times a power of ten, so they stay where they are
  // while a run grows; where every step fits into one of its own, they do. A mean takes values beyond 1e290
  // as 1e290. Error{usage}: buckets outside 1 to kMostBuckets, more than kMostNames names, or from > to.
  MetricSeries query(const MetricQuery& query) const;
  // Of all ranks together, by name: what the last step that has it says.
  std::vector<LatestMetric> latest(const std::string& training) const;
  // The same of several trainings, with one statement. Absent: one that has measured nothing.
  std::map<std::string, std::vector<LatestMetric>> latest(const std::vector<std::string>& trainings) const;
  // Of any rank, in the database's order, the first kMostNames.
  std::vector<std::string> names(const std::string& training) const;

 private:
  Database& database_;
};

}  // namespace saemill
