// Buckets of samples, and how they become one. Private to this folder.
#pragma once

#include <algorithm>
#include <cstdint>

namespace saemill {

// What one field was within one bucket.
struct FieldSummary {
  double min = 0, mean = 0, max = 0;  // of nothing, when count is 0
  int64_t count = 0;

  void merge(const FieldSummary& other) {
    if (other.count == 0) return;
    if (count == 0) {
      *this = other;
      return;
    }
    min = std::min(min, other.min);
    max = std::max(max, other.max);
    const auto own = static_cast<double>(count), added = static_cast<double>(other.count);
    mean = (mean * own + other.mean * added) / (own + added);
    count += other.count;
  }
};

}  // namespace saemill
