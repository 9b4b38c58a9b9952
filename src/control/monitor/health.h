// What makes a GPU unhealthy, and when it is well again.
#pragma once

#include <cstdint>

#include "control/monitor/device.h"

namespace saemill {

// After NVIDIA's XID catalogue (docs.nvidia.com/deploy/xid-errors), by what it asks to be done at once.
enum class XidClass {
  application,  // end and restart the program: a kernel read out of bounds, a channel failed
  notice,       // nothing: a repair was recorded, an error was contained, an action was announced
  fault,        // a reset, a reboot or more; and what the catalogue does not know
};
XidClass xid_class(int64_t xid);
// "a memory row was replaced or waits to be"; empty: the catalogue's number has no words here.
const char* xid_words(int64_t xid);

// nvmlDeviceGpuRecoveryAction_t: what the driver asks to be done with a GPU. Empty: nothing.
std::string recovery_words(uint32_t action);

// Of one GPU over time. Not thread-safe.
class HealthTracker {
 public:
  void on_xid(int64_t xid, double epoch);
  // Uncorrectable memory errors since the driver was loaded, and the state of row remapping.
  void on_ecc(const EccCounts& ecc);
  void on_reset_required();
  // Absent: this driver does not tell. Where it does, it decides what uncorrectable errors mean: those that
  // were contained leave the GPU usable.
  void on_recovery_action(std::optional<uint32_t> action);
  // The driver was loaded again or the GPU was reset and answers: what happened before no longer counts.
  void on_reset();

  Health health() const;
  std::optional<int64_t> last_xid() const { return last_xid_; }

 private:
  std::optional<int64_t> last_xid_;
  std::optional<Reason> xid_, ecc_, remap_, reset_, recovery_;
  bool recovery_told_ = false;
};

}  // namespace saemill
