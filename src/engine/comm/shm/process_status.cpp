#include "engine/comm/shm/process_status.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <sstream>
#include <string>

namespace saemill {

ProcessStatus process_status(int pid) {
  const std::string path = "/proc/" + std::to_string(pid) + "/stat";
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return {errno == ENOENT ? '\0' : '?', 0};
  char text[1024];
  const ssize_t count = ::read(fd, text, sizeof text);
  const int error = errno;
  ::close(fd);
  if (count < 0) return {error == ESRCH ? '\0' : '?', 0};
  // The name before the state may hold any character, so count the fields from its last parenthesis.
  const std::string_view line(text, static_cast<size_t>(count));
  const size_t name_end = line.rfind(')');
  if (name_end == std::string_view::npos) return {};
  std::istringstream fields{std::string(line.substr(name_end + 1))};
  ProcessStatus status;
  fields >> status.state;
  constexpr int kFieldsBetween = 18;  // from ppid, the 4th, to itrealvalue, the 21st
  std::string skipped;
  for (int i = 0; i < kFieldsBetween; ++i) fields >> skipped;
  if (!(fields >> status.start_time)) return {};
  return status;
}

bool is_gone(const ProcessStatus& status, uint64_t start_time) {
  if (status.state == '?') return false;
  if (status.state == '\0' || status.state == 'Z' || status.state == 'X') return true;
  return status.start_time != start_time;
}

}  // namespace saemill
