#include "control/monitor/cpu_slots.h"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

#include "common/base/proc.h"

namespace saemill {
namespace {

constexpr const char* kWorker = "saemill-worker";

}  // namespace

std::string cpu_slot_uuid(const std::string& host, int slot) {
  return fmt::format("CPU-{}-{}", host, slot);
}

std::vector<CpuSlots::Rank> CpuSlots::ranks() const {
  std::vector<Rank> found;
  for (const int64_t pid : processes_named(kWorker)) {
    const auto arguments = process_arguments(pid);
    const auto named = std::find(arguments.begin(), arguments.end(), "--device");
    if (named == arguments.end() || std::next(named) == arguments.end()) continue;
    const std::string& device = *std::next(named);
    int slot = -1;
    if (!device.starts_with("cpu:")) continue;
    std::from_chars(device.data() + 4, device.data() + device.size(), slot);
    if (slot >= 0 && slot < slots_) found.push_back({pid, slot});
  }
  return found;
}

std::optional<double> CpuSlots::utilization(const std::vector<Rank>& ranks, int slot, double cores,
                                            double now) {
  double seconds = 0, elapsed = 0;
  bool known = true;
  for (const Rank& rank : ranks) {
    if (rank.slot != slot) continue;
    const double total = process_stat(rank.pid).cpu_seconds;
    const auto before = seen_.find(rank.pid);
    if (before == seen_.end() || now <= before->second.time || total < before->second.cpu_seconds) {
      known = false;
    } else {
      seconds += total - before->second.cpu_seconds;
      elapsed = now - before->second.time;
    }
    seen_[rank.pid] = {total, now};
  }
  if (!known) return std::nullopt;
  return elapsed > 0 ? std::min(100.0, 100.0 * seconds / (elapsed * cores)) : 0.0;
}

std::vector<Device> CpuSlots::read(const HostSample& host, double now, double epoch) {
  const std::vector<Rank> bound = slots_ > 0 ? ranks() : std::vector<Rank>();
  std::erase_if(seen_, [&](const auto& entry) {
    return std::none_of(bound.begin(), bound.end(),
                        [&](const Rank& rank) { return rank.pid == entry.first; });
  });
  std::vector<Device> devices;
  for (int slot = 0; slot < slots_; ++slot) {
    Device device;
    device.kind = DeviceKind::cpu;
    device.uuid = cpu_slot_uuid(host.host, slot);
    device.name = fmt::format("{} (1/{} of {} cores)", host.cpu_name, slots_, host.cores);
    device.processes.emplace();
    int64_t used = 0;
    for (const Rank& rank : bound) {
      if (rank.slot != slot) continue;
      DeviceProcess process{.pid = rank.pid,
                            .type = "rank",
                            .user = process_user(rank.pid),
                            .command = process_command(rank.pid),
                            .memory_used = process_memory(rank.pid, "VmRSS"),
                            .training_id = std::nullopt};
      used += process.memory_used.value_or(0);
      device.processes->push_back(std::move(process));
    }
    device.memory_total = host.memory_total / slots_;
    device.memory_used = used;
    device.memory_free = std::clamp<int64_t>(*device.memory_total - used, 0, host.memory_available);
    device.utilization = utilization(bound, slot, static_cast<double>(host.cores) / slots_, now);
    device.sampled_at = epoch;
    devices.push_back(std::move(device));
  }
  return devices;
}

}  // namespace saemill
