// The machine around the devices: CPU, memory, swap, network, disk.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "control/monitor/device.h"

namespace saemill {

struct HostSample {
  std::string host, cpu_name;
  int cores = 0;                          // online; what this process may use can be less
  std::optional<double> cpu_utilization;  // percent of all cores, since the sample before
  std::optional<double> load;             // of the last minute
  int64_t memory_total = 0, memory_available = 0, swap_total = 0,
          swap_used = 0;  // a container's limit counts
  DeviceRates network;    // all interfaces but loopback
  std::string disk_path;
  std::optional<int64_t> disk_total, disk_free;
  double sampled_at = 0;  // epoch seconds
};

nlohmann::ordered_json to_json(const HostSample& host);

// Not thread-safe: it remembers the counters of the reading before.
class HostReader {
 public:
  explicit HostReader(std::filesystem::path data);
  HostSample read(double now, double epoch);

 private:
  std::optional<double> cpu_utilization();
  DeviceRates network(double now);

  std::filesystem::path data_;
  std::string cpu_name_;
  std::optional<std::pair<double, double>> cpu_before_;                     // busy, total
  std::optional<std::pair<double, std::pair<double, double>>> net_before_;  // time, (tx, rx)
};

}  // namespace saemill
