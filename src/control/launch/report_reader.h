// The read end of one rank's pipe, as JSON objects. Nothing that a rank writes can stop the launcher: half a
// line is waited for, and a line that is too long or not a report is skipped and counted.
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "control/launch/fd.h"

namespace saemill {

// Splits a stream of bytes into lines of at most `limit` bytes, the newline included. Memory is bounded by
// `limit`.
class LineSplitter {
 public:
  explicit LineSplitter(size_t limit) : limit_(limit) {}

  // Calls `line` with each complete line, without its newline.
  void feed(std::string_view bytes, const std::function<void(std::string_view)>& line);

  int64_t too_long() const { return too_long_; }
  size_t pending() const { return pending_.size(); }

 private:
  size_t limit_;
  std::string pending_;
  bool skipping_ = false;  // inside a line that is already over the limit
  int64_t too_long_ = 0;
};

// A report with a known event and fields of the types that worker_protocol.h gives them, else a discarded
// value.
nlohmann::ordered_json parse_report(std::string_view line);

class ReportReader {
 public:
  using Handler = std::function<void(const nlohmann::ordered_json&)>;

  explicit ReportReader(Fd fd);  // non-blocking

  // Reads what is there now, but not without end. Returns true if there may be more; open() tells of the end.
  bool read_available(const Handler& handler);

  int fd() const { return fd_.get(); }
  bool open() const { return static_cast<bool>(fd_); }
  void close() { fd_.reset(); }
  int64_t too_long() const { return splitter_.too_long(); }
  int64_t not_reports() const { return not_reports_; }
  int64_t skipped() const { return too_long() + not_reports_; }

 private:
  Fd fd_;
  LineSplitter splitter_;
  int64_t not_reports_ = 0;
};

}  // namespace saemill
