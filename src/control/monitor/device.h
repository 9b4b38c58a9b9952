// A device as everybody sees it: the table of CONTRACTS "Devices", with the same names. Units: bytes,
// bytes/s, degrees Celsius, W, J, MHz, percent 0-100. What cannot be read is absent, never zero.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace saemill {

enum class DeviceKind { gpu, mig, cpu };
enum class Availability { free, leased, foreign, unhealthy, lost, prohibited, unknown };
inline constexpr int kAvailabilities = 7;

const char* to_string(DeviceKind kind);
const char* to_string(Availability availability);

// `code` is stable, `message` is for people.
struct Reason {
  std::string code, message;
};

struct DeviceProcess {
  int64_t pid = 0;
  std::string type;                          // compute | graphics | mps | rank (of a CPU slot)
  std::optional<std::string> user, command;  // absent: the process is hidden from us
  std::optional<int64_t> memory_used;
  std::optional<std::string> training_id;  // of our job that it belongs to
};

struct DeviceRates {
  std::optional<double> tx, rx;
};

struct EccCounts {
  std::optional<int64_t> corrected, uncorrected;                    // since the driver was loaded
  std::optional<int64_t> remapped_corrected, remapped_uncorrected;  // rows of memory replaced, for ever
  std::optional<bool> remap_pending, remap_failure;
};

struct Health {
  std::vector<Reason> reasons;  // empty: well
  bool ok() const { return reasons.empty(); }
};

struct Device {
  int index = 0;  // place in the inventory: GPUs in the driver's order, then CPU slots
  std::string uuid;
  DeviceKind kind = DeviceKind::gpu;
  std::string name;
  std::optional<std::string> pci_bus_id;
  std::optional<std::string> parent_uuid;  // of a MIG instance
  std::optional<int64_t> memory_total, memory_used, memory_free, memory_reserved;
  std::optional<double> utilization;  // share of time in which any kernel ran; of a CPU slot: of its cores
  std::optional<double> memory_utilization;  // share of time in which memory was read or written
  std::optional<double> temperature, power_draw, power_limit, energy, fan_speed, clock_sm, clock_memory;
  std::optional<std::vector<std::string>> throttle;  // reasons that hold the clocks down
  DeviceRates pcie, nvlink;                          // bytes per second
  EccCounts ecc;
  std::optional<int64_t> last_xid;
  std::optional<std::string> compute_mode;  // default | exclusive_process | prohibited
  std::optional<bool> persistence_mode;
  bool mig_parent = false;
  Health health;
  std::optional<std::vector<DeviceProcess>> processes;  // absent: they cannot be listed
  // What the driver answered to everything, where it says that this device cannot be used at all.
  std::optional<Reason> lost, unreadable;

  std::string left_out;  // "CUDA_VISIBLE_DEVICES=0,1" of this process, which does not name it; empty: it may
                         // be used. Not in JSON, where `reason` says it.

  double sampled_at = 0;  // epoch seconds
  double age_ms = 0;
  Availability availability = Availability::unknown;
  Reason reason;
  std::string current_job, current_job_type;  // of the lease

  bool is_busy() const { return availability != Availability::free; }
};

// A GPU or MIG instance that this process may use at all.
inline bool counts_as_gpu(const Device& device) {
  return device.kind != DeviceKind::cpu && device.left_out.empty();
}

nlohmann::ordered_json to_json(const Device& device);
// What to_json() wrote, for those who ask a server. Error{retry}: it is no device.
Device device_from_json(const nlohmann::ordered_json& json);

// "gpu:0" for a GPU or MIG instance and "cpu:1" for a CPU slot: its place among its kind, as the command line
// names it.
std::string short_name(const std::vector<Device>& devices, const Device& device);

// By index ("3"), uuid (whole, or a GPU's first eight characters) or short name. Null: there is none.
const Device* find_device(const std::vector<Device>& devices, const std::string& id);

// How near two GPUs are. Levels are NVML's nvmlGpuTopologyLevel_t.
struct Link {
  int nvlinks = 0;  // direct, or through a switch
  int level =
      50;  // 0 same board, 10 one PCIe switch, 20 several, 30 host bridge, 40 same NUMA node, 50 system
};

// Symmetric; by uuid. Pairs that are not known count as Link{}.
class Topology {
 public:
  void set(const std::string& a, const std::string& b, Link link);
  Link between(const std::string& a, const std::string& b) const;
  bool empty() const { return links_.empty(); }

 private:
  std::vector<std::pair<std::pair<std::string, std::string>, Link>> links_;  // sorted by the pair
};

// The fields of `device` that history keeps, in the order of kHistoryFields (store/device_history.h).
std::optional<double> history_value(const Device& device, size_t field);

}  // namespace saemill
