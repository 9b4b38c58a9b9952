// What makes a GPU unhealthy, and when it is well again. Application errors (a kernel that read out of
// bounds) are the program's fault and leave the GPU usable; the list is that of NVIDIA's k8s-device-plugin.
#pragma once

#include <cstdint>

#include "control/monitor/device.h"

namespace saemill {

bool is_application_xid(int64_t xid);  // 13, 31, 43, 45, 68, 109

// Of one GPU over time. Not thread-safe.
class HealthTracker {
 public:
  void on_xid(int64_t xid, double epoch);
  // Uncorrectable memory errors since the driver was loaded, and the state of row remapping.
  void on_ecc(const EccCounts& ecc);
  void on_reset_required();
  // The driver was loaded again or the GPU was reset and answers: what happened before no longer counts.
  void on_reset();

  Health health() const;
  std::optional<int64_t> last_xid() const { return last_xid_; }

 private:
  std::optional<int64_t> last_xid_;
  std::optional<Reason> xid_, ecc_, remap_, reset_;
};

}  // namespace saemill
