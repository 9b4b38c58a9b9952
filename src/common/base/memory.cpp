#include "common/base/memory.h"

#include <algorithm>
#include <fstream>
#include <limits>
#include <optional>
#include <string>

namespace saemill {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kUnknown = std::numeric_limits<int64_t>::max();

// Absent where there is no such file, or it says "max".
std::optional<int64_t> read_number(const fs::path& path) {
  std::ifstream file(path);
  int64_t value = 0;
  if (file >> value) return value;
  return std::nullopt;
}

int64_t cached_files(const fs::path& group) {
  std::ifstream file(group / "memory.stat");
  std::string name;
  int64_t bytes = 0;
  for (int64_t value = 0; file >> name >> value;)
    if (name == "active_file" || name == "inactive_file") bytes += value;
  return bytes;
}

void limit(Memory& memory, const fs::path& group) {
  const auto most = read_number(group / "memory.max"), used = read_number(group / "memory.current");
  if (!most || !used) return;
  memory.total = std::min(memory.total, *most);
  const int64_t left = std::clamp<int64_t>(*most - *used + cached_files(group), 0, *most);
  memory.available = std::min(memory.available, left);
}

// "0::/system.slice/a.service" -> "system.slice/a.service"
fs::path own_group(const fs::path& proc) {
  std::ifstream file(proc / "self/cgroup");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with("0::/")) return line.substr(4);
  return {};
}

}  // namespace

Memory read_memory(const fs::path& proc, const fs::path& groups) {
  Memory memory{kUnknown, kUnknown};
  std::ifstream file(proc / "meminfo");
  std::string name, unit;
  for (int64_t kilobytes = 0; file >> name >> kilobytes; std::getline(file, unit)) {
    if (name == "MemTotal:") memory.total = kilobytes * 1024;
    if (name == "MemAvailable:") memory.available = kilobytes * 1024;
  }
  for (fs::path group = own_group(proc);; group = group.parent_path()) {
    limit(memory, groups / group);
    if (group.empty()) return memory;
  }
}

}  // namespace saemill
