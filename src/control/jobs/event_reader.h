// Brings RUN/events.jsonl of one training into the database, as it grows: no line is lost and none counts
// twice, whenever this program, the launcher or the database goes away.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "control/launch/fd.h"
#include "control/store/run_events.h"

namespace saemill {

struct AppliedEvent {
  int64_t seq = 0;      // 0: the reader's own warning on skipped lines
  int64_t time_ms = 0;  // epoch milliseconds; 0: the line does not tell
  int64_t attempt = 0;
  std::string event;
  nlohmann::json data;  // the whole line
};

// Not thread-safe. A second reader of the same training, here or elsewhere, takes turns with this one.
class EventReader {
 public:
  EventReader(Database& database, std::string training_id, std::filesystem::path events_path);

  static constexpr size_t kMostPerRead = 1 << 20;  // bytes

  // Applies the next whole lines, at most kMostPerRead, and returns what they said, in order; call it again
  // until nothing comes. A half last line is waited for, and so is a file that is not there yet.
  //
  // What is wrong with the file is told by warnings among the events: `skipped_lines {count}` (longer than
  // kMaxEventLine, or no events; one row, with seq 0, whose count grows) and `missing_events {first, last}`
  // (a gap in seq; in the place of the first that is missing). A seq that was applied before is passed over.
  //
  // Nothing is applied on Error{retry}: the database or the disk does not answer, and the next call reads the
  // same lines; on Error{bad_data}: the file is not the one that was read before, or shrank; on Error{usage}:
  // there is no such training.
  std::vector<AppliedEvent> read_more();

 private:
  struct Batch;

  // Whole lines from the position on, or of one that is too long nothing but its end.
  struct Lines {
    std::string text;
    int64_t end = 0;  // offset in the file
    bool too_long = false;
  };

  std::optional<Lines> read_lines(int64_t offset) const;
  std::optional<Lines> skip_line(const Fd& file, int64_t offset) const;
  void check_file(const Fd& file, int64_t offset, int64_t size) const;
  void parse(const Lines& lines, Batch& batch) const;
  void add_line(std::string_view line, Batch& batch) const;
  void add_warning(Batch& batch, int64_t seq, int64_t time_ms, nlohmann::json data) const;

  RunEvents store_;
  std::string training_id_;
  std::filesystem::path path_;
  std::optional<RunPosition> position_;  // absent: to be asked for
  // Of a commit without an answer, until it is known whether it was made.
  std::optional<RunPosition> unsure_position_;
  std::vector<AppliedEvent> unsure_events_;
};

}  // namespace saemill
