// checkpoints: what RUN/checkpoints of each training holds and held, as RunEvents brought it in.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "control/store/database.h"

namespace saemill {

struct CheckpointRow {
  int64_t step = 0;
  std::string name;  // of its folder
  int64_t bytes = 0;
  int64_t time_ms = 0;                // epoch milliseconds
  std::optional<int64_t> removed_at;  // epoch milliseconds; a rewind took it back, or its folder is gone
};

// Thread-safe.
class Checkpoints {
 public:
  explicit Checkpoints(Database& database) : database_(database) {}

  // By step.
  std::vector<CheckpointRow> list(const std::string& training, bool with_removed = false) const;
  // For a server that deletes folders itself: what checkpoint.keep_last deletes is told by the events. False:
  // there is none, or it was removed before.
  bool remove(const std::string& training, int64_t step, int64_t removed_at);

 private:
  Database& database_;
};

}  // namespace saemill
