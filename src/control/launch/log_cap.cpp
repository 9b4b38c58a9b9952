#include "control/launch/log_cap.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <vector>

#include "control/launch/fd.h"
#include "control/launch/run_folder.h"

namespace saemill {
namespace {

constexpr size_t kChunk = 1 << 20;

// Of the bytes kept, for what the rank prints while they are copied.
int64_t room_for_more(const LogLimits& limits) {
  return limits.kept / 8;
}

bool write_all(int fd, const char* data, size_t size) {
  while (size > 0) {
    const ssize_t n = ::write(fd, data, size);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    data += n;
    size -= static_cast<size_t>(n);
  }
  return true;
}

// Copies from `from` up to the end of the log, or to `end`. Returns how far it came; absent: it failed.
std::optional<int64_t> copy(int log, int to, int64_t from, int64_t end) {
  std::vector<char> buffer(kChunk);
  while (from < end) {
    const auto wanted = std::min(buffer.size(), static_cast<size_t>(end - from));
    const ssize_t n = ::pread(log, buffer.data(), wanted, from);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 || !write_all(to, buffer.data(), static_cast<size_t>(n))) return std::nullopt;
    if (n == 0) break;
    from += n;
  }
  return from;
}

// The beginning of the next line; `from` itself inside a line without an end.
int64_t next_line(int log, int64_t from) {
  if (from == 0) return 0;
  std::vector<char> buffer(kChunk);
  const ssize_t n = ::pread(log, buffer.data(), buffer.size(), from - 1);
  if (n <= 0) return from;
  const void* end = std::memchr(buffer.data(), '\n', static_cast<size_t>(n));
  return end == nullptr ? from : from + (static_cast<const char*>(end) - buffer.data());
}

// Where the copy begins in the log; absent: it failed, and the earlier one stays.
std::optional<int64_t> keep_end(int log, int64_t size, const std::string& place, const LogLimits& limits) {
  const std::string aside = place + ".tmp";
  const Fd to(::open(aside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (!to) return std::nullopt;
  const int64_t begin = next_line(log, std::max<int64_t>(0, size - limits.kept + room_for_more(limits)));
  const auto copied = copy(log, to.get(), begin, begin + limits.kept);
  if (!copied || ::rename(aside.c_str(), place.c_str()) != 0) {
    ::unlink(aside.c_str());
    return std::nullopt;
  }
  copy(log, to.get(), *copied, begin + limits.kept);  // what was printed meanwhile
  return begin;
}

int lines_of(const std::string& text) {
  return text.empty() ? 0 : static_cast<int>(std::count(text.begin(), text.end(), '\n')) + 1;
}

}  // namespace

void LogCap::check() {
  const Fd log(::open(log_.c_str(), O_RDWR | O_CLOEXEC));
  struct stat info {};
  if (!log || ::fstat(log.get(), &info) != 0 || info.st_size <= limits_.most) return;
  const auto kept_from = keep_end(log.get(), info.st_size, earlier().string(), limits_);
  if (!kept_from && info.st_size <= limits_.most_uncopied) return;
  if (::ftruncate(log.get(), 0) != 0) return;
  earlier_begin_ = kept_from ? std::max<int64_t>(0, begin_ - *kept_from) : -1;
  begin_ = 0;
}

std::string LogCap::tail(int count) const {
  std::string text = tail_of(log_, begin_, count);
  const int missing = count - lines_of(text);
  if (missing <= 0 || earlier_begin_ < 0) return text;
  const std::string before = tail_of(earlier(), earlier_begin_, missing);
  if (before.empty() || text.empty()) return before + text;
  return before + "\n" + text;
}

}  // namespace saemill
