// RUN/logs/rank-K.log, kept small: a rank that prints without end must not fill the disk.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace saemill {

struct LogLimits {
  int64_t most = int64_t{16} << 20;  // bytes of the log that are too many
  int64_t kept = int64_t{8} << 20;   // at most, in rank-K.log.1
  // A log that cannot be copied, since the disk is full, is emptied all the same from here on.
  int64_t most_uncopied = int64_t{64} << 20;
};

// Of one attempt. The rank holds the log open with O_APPEND, so it goes on at the new end.
class LogCap {
 public:
  // `begin`: where this attempt's output begins in the log.
  LogCap(std::filesystem::path log, int64_t begin, const LogLimits& limits = {})
      : log_(std::move(log)), limits_(limits), begin_(begin) {}

  // Beyond the limit: copies the end of the log, from a line's beginning, in the place of rank-K.log.1, and
  // empties the log. About once a second, and at the end.
  void check();
  // The last lines of this attempt's output, wherever they are by now.
  std::string tail(int count) const;

  const std::filesystem::path& path() const { return log_; }

 private:
  std::filesystem::path earlier() const { return log_.string() + ".1"; }

  std::filesystem::path log_;
  LogLimits limits_;
  int64_t begin_ = 0;           // in the log
  int64_t earlier_begin_ = -1;  // in rank-K.log.1; -1: nothing of this attempt is there
};

}  // namespace saemill
