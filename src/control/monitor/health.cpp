#include "control/monitor/health.h"

#include <algorithm>
#include <array>

#include "common/base/clock.h"

namespace saemill {

bool is_application_xid(int64_t xid) {
  constexpr std::array<int64_t, 6> kApplication = {13, 31, 43, 45, 68, 109};
  return std::find(kApplication.begin(), kApplication.end(), xid) != kApplication.end();
}

void HealthTracker::on_xid(int64_t xid, double epoch) {
  last_xid_ = xid;
  if (is_application_xid(xid)) return;
  xid_ = Reason{"xid", fmt::format("XID {} at {}; reset the GPU (nvidia-smi --gpu-reset) or reboot", xid,
                                   utc_time(epoch))};
}

void HealthTracker::on_ecc(const EccCounts& ecc) {
  if (ecc.uncorrected.value_or(0) > 0) {
    ecc_ = Reason{
        "ecc", fmt::format("{} uncorrectable memory errors since the driver was loaded", *ecc.uncorrected)};
  } else if (ecc.uncorrected) {
    ecc_.reset();  // the counter begins again with the driver
  }
  remap_.reset();
  if (ecc.remap_failure.value_or(false)) {
    remap_ = Reason{"remap_failure", "a damaged memory row could not be replaced; the board needs service"};
  } else if (ecc.remap_pending.value_or(false)) {
    remap_ = Reason{"remap_pending", "a damaged memory row waits for a reset to be replaced"};
  }
}

void HealthTracker::on_reset_required() {
  reset_ = Reason{"reset_required", "the driver asks for a reset of this GPU"};
}

void HealthTracker::on_reset() {
  xid_.reset();
  ecc_.reset();
  reset_.reset();
}

Health HealthTracker::health() const {
  Health health;
  for (const auto* reason : {&xid_, &ecc_, &remap_, &reset_}) {
    if (*reason) health.reasons.push_back(**reason);
  }
  return health;
}

}  // namespace saemill
