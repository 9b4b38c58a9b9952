// The scenario file, read into plain values. README.md says what the keys mean.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace fake_nvml {

struct Process {
  unsigned pid = 0;
  std::uint64_t memory_used = 0;
  std::string type;
};

struct Mig {
  std::string uuid;
  std::string name;
  unsigned gpu_instance_id = 0;
  unsigned compute_instance_id = 0;
  std::uint64_t memory_total = 0;
  std::uint64_t memory_used = 0;
  std::vector<Process> processes;
};

// Bytes per second.
struct Traffic {
  double tx = 0;
  double rx = 0;
};

struct Clocks {
  unsigned sm = 0;
  unsigned memory = 0;
};

struct Remapped {
  unsigned correctable = 0;
  unsigned uncorrectable = 0;
  bool pending = false;
  bool failure = false;
};

struct Ecc {
  std::uint64_t sbe = 0;
  std::uint64_t dbe = 0;
  std::optional<Remapped> remapped;
};

struct Link {
  std::optional<std::size_t> gpu;  // none: the link ends at a switch
};

struct Gpu {
  std::optional<std::string> uuid, name, pci_bus_id;
  std::uint64_t memory_total = 0, memory_used = 0, memory_reserved = 0;
  std::optional<unsigned> utilization, temperature, fan_speed, recovery_action;
  unsigned memory_utilization = 0;
  std::optional<double> power_draw, power_limit, energy;
  std::optional<Clocks> clocks;
  std::optional<std::uint64_t> throttle;
  std::optional<Traffic> pcie, nvlink;
  std::optional<std::vector<Link>> nvlink_links;
  int numa = 0;
  std::optional<int> pcie_switch;
  std::optional<Ecc> ecc;
  unsigned compute_mode = 0;
  bool persistence_mode = true;
  bool mig_capable = false;
  std::optional<std::vector<Mig>> mig;  // set: MIG is on
  std::vector<Process> processes;
  std::set<std::string> not_supported;
  std::map<std::string, unsigned> errors;
  std::string key;  // what handles and counters remember this GPU by; the UUID where it has one
};

struct Event {
  enum class Kind { xid, dbe, lost, recovered, added, removed, hang };
  Kind kind = Kind::xid;
  double at_s = 0;
  std::optional<std::size_t> gpu;
  std::uint64_t number = 0;  // the Xid, or how many double bit errors
  double hang_s = 0;
  std::string call;
  std::string key;  // the same after a re-read, so that what happened once does not happen again
};

struct Scenario {
  std::string driver_version, nvml_version, log;
  bool process_struct_535 = false;
  std::set<std::string> missing;
  std::map<std::string, unsigned> errors;
  std::map<std::string, unsigned> delays_ms;
  std::vector<Gpu> gpus;
  std::vector<Event> events;  // by time
};

// Throws std::exception on anything that is not a scenario, unknown keys included: a misspelt property would
// otherwise be one that the GPU does not support.
Scenario parse_scenario(const std::string& text);

}  // namespace fake_nvml
