#include "common/protocol/events.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "common/base/clock.h"
#include "common/base/error.h"
#include "common/base/file.h"

namespace saemill {

std::vector<nlohmann::json> read_events(const std::filesystem::path& path) {
  std::vector<nlohmann::json> events;
  if (!std::filesystem::exists(path)) return events;
  const std::string text = read_file(path);
  for (size_t begin = 0, end; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1) {
    auto event = nlohmann::json::parse(text.begin() + static_cast<std::ptrdiff_t>(begin),
                                       text.begin() + static_cast<std::ptrdiff_t>(end), nullptr, false);
    if (event.is_object()) events.push_back(std::move(event));
  }
  return events;
}

EventLog::EventLog(const std::filesystem::path& path) : path_(path) {
  for (const auto& event : read_events(path)) {
    last_seq_ = std::max(last_seq_, event.value("seq", int64_t{0}));
    last_attempt_ = std::max(last_attempt_, event.value("attempt", int64_t{0}));
  }
  if (std::filesystem::exists(path)) {
    const std::string text = read_file(path);
    const size_t whole = text.rfind('\n') == std::string::npos ? 0 : text.rfind('\n') + 1;
    if (whole < text.size()) std::filesystem::resize_file(path, whole);
  }
  fd_ = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (fd_ < 0) fail(ErrorCode::retry, "{}: cannot be opened: {}", path.string(), std::strerror(errno));
}

EventLog::~EventLog() {
  ::close(fd_);
}

nlohmann::ordered_json EventLog::append(int64_t attempt, const nlohmann::ordered_json& event) {
  nlohmann::ordered_json whole{{"seq", last_seq_ + 1}, {"time", utc_now()}, {"attempt", attempt}};
  for (const auto& [key, value] : event.items()) whole[key] = value;
  const std::string line =
      whole.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
  if (line.size() > kMaxEventLine)
    fail(ErrorCode::internal, "an event of {} bytes; at most {} fit into a line", line.size(), kMaxEventLine);
  const off_t before = ::lseek(fd_, 0, SEEK_END);
  const ssize_t written = ::write(fd_, line.data(), line.size());
  if (written != static_cast<ssize_t>(line.size())) {
    const int error = errno;
    if (written > 0 && ::ftruncate(fd_, before) != 0)
      ++last_seq_;  // a torn line stays; its number is used up
    fail(ErrorCode::retry, "{}: cannot be written: {}", path_.string(),
         written < 0 ? std::strerror(error) : "the disk is full");
  }
  ++last_seq_;
  last_attempt_ = std::max(last_attempt_, attempt);
  return whole;
}

void EventLog::sync() {
  if (::fdatasync(fd_) != 0)
    fail(ErrorCode::retry, "{}: cannot be synced: {}", path_.string(), std::strerror(errno));
}

}  // namespace saemill
