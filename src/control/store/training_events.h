// training_events: the events of RUN/events.jsonl but for metrics, as RunEvents brought them in.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "control/store/database.h"

namespace saemill {

struct TrainingEvent {
  int64_t seq = 0;      // of events.jsonl; 0: the reader's own warning on skipped lines, whose count grows
  int64_t time_ms = 0;  // epoch milliseconds; 0: the line does not tell
  int64_t attempt = 0;
  std::string event;
  std::string data;  // JSON: the whole line
};

struct TrainingEventPage {
  std::vector<TrainingEvent> events;
  int64_t total = 0;  // of the training, on all pages
};

// Thread-safe.
class TrainingEvents {
 public:
  explicit TrainingEvents(Database& database) : database_(database) {}

  static constexpr int64_t kMostPerPage = 500;

  // Those with a greater seq, ascending; -1: from the first on. Error{usage}: a limit outside 1 to
  // kMostPerPage.
  std::vector<TrainingEvent> since(const std::string& training, int64_t seq, int64_t limit = 100) const;
  // Newest first. Error{usage}: also page < 1.
  TrainingEventPage newest(const std::string& training, int64_t page = 1, int64_t limit = 50) const;

 private:
  Database& database_;
};

}  // namespace saemill
