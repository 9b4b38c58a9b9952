// One GPU or MIG instance, read through its handle. Used by the NVML thread alone.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>

#include "control/monitor/device.h"
#include "control/monitor/health.h"
#include "control/monitor/nvml/nvml_library.h"

namespace saemill::nvml {

// Bytes per second from a counter that only grows. A counter that went back (wrapped, or the driver was
// loaded again) gives nothing for that interval.
class RateMeter {
 public:
  std::optional<double> update(uint64_t counter, double now);

 private:
  std::optional<uint64_t> last_;
  double time_ = 0;
};

class Gpu {
 public:
  // Reads what does not change. A device that refuses even this is kept, as unreadable or lost.
  Gpu(Library& library, unsigned nvml_index, Handle handle, int handle_result);
  // A MIG instance of `parent`.
  Gpu(Library& library, Handle handle, const Gpu& parent);

  // Everything that changes; what changes rarely only where `slow`. `now` is monotonic, `epoch` wall time.
  void read(bool slow, double now, double epoch);

  const Device& device() const { return device_; }
  Handle handle() const { return handle_; }
  unsigned nvml_index() const { return nvml_index_; }
  bool usable() const { return !device_.lost && !device_.unreadable; }
  HealthTracker& tracker() { return health_; }
  void adopt(const Gpu& earlier);  // what the same GPU had before an enumeration: health and counters
  void set_failure(int result) { mark_failure(result); }
  void set_mig_parent() { device_.mig_parent = true; }
  void refresh_health();
  std::optional<int> failure() const { return failure_; }  // what the driver answered to all of it

 private:
  // False where this device cannot tell; it is not asked again before the next enumeration.
  template <typename Signature, typename... Args>
  bool ask(Symbol<Signature>& symbol, Args... args);
  void mark_failure(int result);
  void read_identity();
  void read_memory();
  void read_load();
  void read_power();
  void read_clocks();
  void read_traffic(double now);
  void read_slow();
  void read_ecc();
  void read_recovery_action();

  Library& library_;
  unsigned nvml_index_ = 0;
  Handle handle_ = nullptr;
  Device device_;
  std::set<std::string> unsupported_;
  std::optional<int> failure_;
  HealthTracker health_;
  RateMeter pcie_tx_, pcie_rx_, nvlink_tx_, nvlink_rx_;
};

}  // namespace saemill::nvml
