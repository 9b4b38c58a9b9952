#include "control/monitor/nvml/nvml_processes.h"

#include <algorithm>
#include <cstring>

#include "common/base/proc.h"

namespace saemill::nvml {
namespace {

constexpr size_t kEntries = 64;  // more than a GPU usually serves; grown where the driver asks
constexpr int64_t kLargestPid = 1 << 22;

struct Entry {
  int64_t pid = 0;
  std::optional<int64_t> memory_used;
};

Entry entry_at(std::span<const std::byte> buffer, size_t stride, size_t index) {
  ProcessShort raw;
  std::memcpy(&raw, buffer.data() + index * stride, sizeof raw);
  Entry entry{raw.pid, std::nullopt};
  if (raw.used_memory != kNotAvailable) entry.memory_used = static_cast<int64_t>(raw.used_memory);
  return entry;
}

bool plausible(std::span<const std::byte> buffer, size_t stride, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    const Entry entry = entry_at(buffer, stride, i);
    if (entry.pid < 1 || entry.pid > kLargestPid) return false;
  }
  return true;
}

using ListSymbol = Symbol<int(Handle, unsigned*, void*)>;

// The result code of the call; NVML's way is to say how many there are when the room is too small.
int list(Library& library, ListSymbol& symbol, Handle handle, size_t stride, std::vector<Entry>& entries) {
  unsigned room = kEntries;
  for (int attempt = 0; attempt < 3; ++attempt) {
    // A driver that writes long entries counts `room` in entries too: leave space for the longest.
    std::vector<std::byte> buffer(room * sizeof(ProcessLong) + 64, kCanary);
    unsigned count = room;
    const int result = library.call(symbol, handle, &count, static_cast<void*>(buffer.data()));
    if (result == kInsufficientSize) {
      room = std::max(count, room) + kEntries;
      continue;
    }
    if (result != kSuccess) return result;
    count = std::min(count, room);
    const size_t bytes = stride != 0 ? stride : process_stride(buffer, count);
    for (size_t i = 0; i < count; ++i) entries.push_back(entry_at(buffer, bytes, i));
    return result;
  }
  return kInsufficientSize;
}

}  // namespace

size_t process_stride(std::span<const std::byte> buffer, size_t count) {
  size_t written = buffer.size();
  while (written > 0 && buffer[written - 1] == kCanary) --written;
  if (written <= count * sizeof(ProcessShort)) return sizeof(ProcessShort);
  if (written <= count * sizeof(ProcessLong)) return sizeof(ProcessLong);
  return plausible(buffer, sizeof(ProcessShort), count) ? sizeof(ProcessShort) : sizeof(ProcessLong);
}

std::optional<std::vector<DeviceProcess>> read_processes(Library& library, Handle handle) {
  struct Kind {
    const char* type;
    ListSymbol& v3;
    ListSymbol& v2;
  };
  const Kind kinds[] = {{"compute", library.compute_processes, library.compute_processes_v2},
                        {"mps", library.mps_processes, library.mps_processes_v2},
                        {"graphics", library.graphics_processes, library.graphics_processes_v2}};
  std::vector<DeviceProcess> processes;
  bool listed = false;
  for (const Kind& kind : kinds) {
    std::vector<Entry> entries;
    int result = list(library, kind.v3, handle, 0, entries);
    if (result == kFunctionNotFound) result = list(library, kind.v2, handle, sizeof(ProcessShort), entries);
    if (result != kSuccess) continue;
    listed = true;
    for (const Entry& entry : entries) {
      const auto same = [&](const DeviceProcess& process) { return process.pid == entry.pid; };
      if (std::any_of(processes.begin(), processes.end(), same)) continue;
      processes.push_back({.pid = entry.pid,
                           .type = kind.type,
                           .user = process_user(entry.pid),
                           .command = process_command(entry.pid),
                           .memory_used = entry.memory_used,
                           .training_id = std::nullopt});
    }
  }
  return listed ? std::optional(std::move(processes)) : std::nullopt;
}

}  // namespace saemill::nvml
