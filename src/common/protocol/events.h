// RUN/events.jsonl: one JSON object per line, {seq, time, attempt, event, ...}, each line one write() of at
// most 64 KiB. seq runs from 1 without gaps over all attempts. Events: started, metrics, checkpoint, rewind,
// warning, paused, finished, failed.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <vector>

namespace saemill {

inline constexpr size_t kMaxEventLine = 64 * 1024;

// The one writer of a file; not thread-safe.
class EventLog {
 public:
  // Goes on after the last whole line of an existing file; a half last line (a crash in mid-write) is cut
  // off.
  explicit EventLog(const std::filesystem::path& path);
  ~EventLog();
  EventLog(const EventLog&) = delete;
  EventLog& operator=(const EventLog&) = delete;

  int64_t last_seq() const { return last_seq_; }
  int64_t last_attempt() const { return last_attempt_; }  // 0: none yet
  // Adds seq, time and attempt in front and appends the line; returns the whole event. Error{retry} where the
  // disk refuses, Error{internal} where the line is too long; seq is then unused.
  nlohmann::ordered_json append(int64_t attempt, const nlohmann::ordered_json& event);
  void sync();  // what was appended survives a loss of power; Error{retry}

 private:
  std::filesystem::path path_;
  int fd_ = -1;
  int64_t last_seq_ = 0;
  int64_t last_attempt_ = 0;
};

// All whole lines; those that are not JSON are left out.
std::vector<nlohmann::json> read_events(const std::filesystem::path& path);

}  // namespace saemill
