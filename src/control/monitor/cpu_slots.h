// CPU slots: shares of this machine's cores and memory that one rank each runs on. What a slot shows is that
// of the saemill-worker processes that name it (--device cpu:K), whoever started them: measured, never
// invented.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "control/monitor/device.h"
#include "control/monitor/host.h"

namespace saemill {

// Not thread-safe.
class CpuSlots {
 public:
  explicit CpuSlots(int slots) : slots_(slots) {}
  std::vector<Device> read(const HostSample& host, double now, double epoch);

 private:
  struct Rank {
    int64_t pid;
    int slot;
  };
  std::vector<Rank> ranks() const;
  // Percent of the slot's share of the cores, at most 100; absent until a rank was seen twice.
  std::optional<double> utilization(const std::vector<Rank>& ranks, int slot, double cores, double now);

  int slots_;
  struct Seen {
    double cpu_seconds, time;
  };
  std::map<int64_t, Seen> seen_;
};

std::string cpu_slot_uuid(const std::string& host, int slot);  // CPU-<host>-<n>

}  // namespace saemill
