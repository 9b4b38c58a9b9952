#include "common/base/proc.h"

#include <fcntl.h>
#include <pwd.h>
#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <sstream>
#include <string_view>

#include <fmt/format.h>

#include "common/base/error.h"

namespace saemill {
namespace {

// The content of a small file of /proc, or the errno.
struct Content {
  std::string text;
  int error = 0;
};

Content read_small(const std::string& path, size_t limit = 64 * 1024) {
  Content content;
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return {"", errno};
  std::array<char, 4096> part;
  while (content.text.size() < limit) {
    const ssize_t got = ::read(fd, part.data(), part.size());
    if (got < 0) content.error = errno;
    if (got <= 0) break;
    content.text.append(part.data(), static_cast<size_t>(got));
  }
  ::close(fd);
  return content;
}

std::string proc_path(int64_t pid, const char* file) {
  return fmt::format("/proc/{}/{}", pid, file);
}

std::string first_line(const std::string& text) {
  return text.substr(0, text.find('\n'));
}

}  // namespace

ProcessStat process_stat(int64_t pid) {
  const Content content = read_small(proc_path(pid, "stat"));
  if (content.error != 0) return {.state = content.error == ENOENT || content.error == ESRCH ? '\0' : '?'};
  // The name before the state may hold any character, so count the fields from its last parenthesis.
  const size_t name_end = content.text.rfind(')');
  if (name_end == std::string::npos) return {};
  std::istringstream fields(content.text.substr(name_end + 1));
  ProcessStat stat;
  std::string skipped;
  int64_t group = 0, user = 0, system = 0;
  fields >> stat.state >> stat.parent >> group >> stat.session;
  for (int number = 7; number <= 13; ++number) fields >> skipped;
  fields >> user >> system;
  for (int number = 16; number <= 21; ++number) fields >> skipped;
  if (!(fields >> stat.start_time)) return {};
  stat.cpu_seconds = static_cast<double>(user + system) / static_cast<double>(::sysconf(_SC_CLK_TCK));
  return stat;
}

bool has_ended(const ProcessStat& now, int64_t start_time) {
  if (now.state == '?') return false;
  if (now.state == '\0' || now.state == 'Z' || now.state == 'X') return true;
  return now.start_time != start_time;
}

int64_t process_start_time(int64_t pid) {
  return process_stat(pid).start_time;
}

std::vector<std::string> process_arguments(int64_t pid) {
  std::vector<std::string> words;
  std::istringstream text(read_small(proc_path(pid, "cmdline")).text);
  for (std::string word; std::getline(text, word, '\0');) words.push_back(word);
  return words;
}

std::optional<std::string> process_command(int64_t pid) {
  std::string text = read_small(proc_path(pid, "cmdline"), 4096).text;
  while (!text.empty() && text.back() == '\0') text.pop_back();
  std::replace_if(
      text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < ' '; }, ' ');
  if (!text.empty()) return text;
  const Content name = read_small(proc_path(pid, "comm"));
  if (name.error != 0) return std::nullopt;
  return first_line(name.text);
}

double process_age(int64_t start_time) {
  timespec since_boot{};
  ::clock_gettime(CLOCK_BOOTTIME, &since_boot);
  const double up = static_cast<double>(since_boot.tv_sec) + static_cast<double>(since_boot.tv_nsec) / 1e9;
  return up - static_cast<double>(start_time) / static_cast<double>(::sysconf(_SC_CLK_TCK));
}

bool has_in_environment(int64_t pid, const std::string& entry) {
  const std::string text = '\0' + read_small(proc_path(pid, "environ")).text;
  return text.find('\0' + entry + '\0') != std::string::npos;
}

std::optional<std::string> process_user(int64_t pid) {
  struct stat info {};
  if (::stat(proc_path(pid, "").c_str(), &info) != 0) return std::nullopt;
  std::array<char, 4096> buffer;
  passwd entry{};
  passwd* found = nullptr;
  if (::getpwuid_r(info.st_uid, &entry, buffer.data(), buffer.size(), &found) == 0 && found != nullptr) {
    return std::string(entry.pw_name);
  }
  return std::to_string(info.st_uid);
}

std::optional<int64_t> process_memory(int64_t pid, const char* field) {
  std::istringstream lines(read_small(proc_path(pid, "status")).text);
  const std::string start = std::string(field) + ":";
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with(start)) continue;
    return std::strtoll(line.c_str() + start.size(), nullptr, 10) * 1024;
  }
  return std::nullopt;
}

bool descends_from(int64_t pid, int64_t ancestor) {
  constexpr int kDeepest = 64;  // a pid used again while we climb must not make a circle
  for (int depth = 0; depth < kDeepest && pid > 1; ++depth) {
    if (pid == ancestor) return true;
    pid = process_stat(pid).parent;
  }
  return false;
}

std::vector<int64_t> all_processes() {
  std::vector<int64_t> found;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", error)) {
    const std::string name = entry.path().filename().string();
    int64_t pid = 0;
    const auto [end, failed] = std::from_chars(name.data(), name.data() + name.size(), pid);
    if (failed == std::errc() && end == name.data() + name.size()) found.push_back(pid);
  }
  std::sort(found.begin(), found.end());
  return found;
}

std::vector<int64_t> processes_named(const std::string& short_name) {
  std::vector<int64_t> found = all_processes();
  std::erase_if(found, [&](int64_t pid) {
    return first_line(read_small(proc_path(pid, "comm"), 64).text) != short_name;
  });
  return found;
}

std::vector<int> allowed_cores() {
  // Grown until the kernel's mask fits: a machine may have more than the 1024 CPUs of a plain cpu_set_t.
  for (int capacity = 1024; capacity <= (1 << 20); capacity *= 2) {
    cpu_set_t* mask = CPU_ALLOC(static_cast<size_t>(capacity));
    ensure(mask != nullptr, "no memory for an affinity mask");
    const size_t bytes = CPU_ALLOC_SIZE(static_cast<size_t>(capacity));
    CPU_ZERO_S(bytes, mask);
    const bool read = ::sched_getaffinity(0, bytes, mask) == 0;
    const int error = errno;
    std::vector<int> cores;
    for (int core = 0; read && core < capacity; ++core) {
      if (CPU_ISSET_S(static_cast<size_t>(core), bytes, mask)) cores.push_back(core);
    }
    CPU_FREE(mask);
    if (read) return cores;
    if (error != EINVAL) fail(ErrorCode::internal, "cannot read the affinity mask: {}", std::strerror(error));
  }
  fail(ErrorCode::internal, "cannot read the affinity mask: more CPUs than expected");
}

std::string host_name() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? std::string(name.data()) : "localhost";
}

std::string boot_id() {
  return first_line(read_small("/proc/sys/kernel/random/boot_id").text);
}

// NSpid of /proc/self/status would not do: it counts from the namespace that mounted /proc, and a container
// mounts its own.
bool in_pid_namespace() {
  constexpr std::string_view kFirst = "pid:[4026531836]";  // the kernel's PROC_PID_INIT_INO, 0xEFFFFFFC
  std::array<char, 64> name{};
  const ssize_t length = ::readlink("/proc/self/ns/pid", name.data(), name.size());
  return length > 0 && std::string_view(name.data(), static_cast<size_t>(length)) != kFirst;
}

}  // namespace saemill
