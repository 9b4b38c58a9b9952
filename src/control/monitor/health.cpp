#include "control/monitor/health.h"

#include <algorithm>
#include <span>

#include "common/base/clock.h"

namespace saemill {

namespace {

struct Xids {
  int64_t first, last;
};

// RESTART_APP in the catalogue; 43, 45 and 109 are with them as in NVIDIA's k8s-device-plugin.
constexpr Xids kApplication[] = {{8, 8},   {11, 11}, {13, 13},  {25, 25},   {31, 32},   {39, 41},
                                 {43, 43}, {45, 45}, {60, 60},  {68, 72},   {75, 77},   {80, 80},
                                 {82, 86}, {88, 89}, {96, 105}, {109, 109}, {126, 135}, {139, 139}};
// IGNORE in the catalogue; 94 ends the one program that met it, 154 only announces (the recovery action
// itself is asked for).
constexpr Xids kNotice[] = {{14, 14},   {37, 38},   {44, 44},   {63, 63},   {66, 67},   {92, 94},
                            {106, 108}, {121, 121}, {137, 137}, {141, 141}, {152, 154}, {160, 161}};

bool contains(std::span<const Xids> ranges, int64_t xid) {
  return std::any_of(ranges.begin(), ranges.end(),
                     [&](const Xids& range) { return range.first <= xid && xid <= range.last; });
}

}  // namespace

XidClass xid_class(int64_t xid) {
  if (contains(kApplication, xid)) return XidClass::application;
  return contains(kNotice, xid) ? XidClass::notice : XidClass::fault;
}

const char* xid_words(int64_t xid) {
  switch (xid) {
    case 63:
      return "a damaged memory row is recorded for replacement";
    case 92:
      return "many single bit errors, all corrected";
    case 94:
      return "a memory error that was contained: only the program that met it must be restarted";
    case 137:
      return "an NVLink access that was not allowed";
    case 154:
      return "what the driver asks to be done with the GPU has changed";
    default:
      return "";
  }
}

std::string recovery_words(uint32_t action) {
  switch (action) {
    case 0:
      return "";
    case 1:
      return "reset the GPU (nvidia-smi --gpu-reset) once nothing runs on it";
    case 2:
      return "reboot the machine";
    case 3:
      return "end what runs on the GPUs that are linked to it, then look again";
    case 4:
      return "end what runs on it and on the GPUs that are linked to it, then reset it (nvidia-smi "
             "--gpu-reset)";
    case 5:
      return "reset its bus";
    default:
      return fmt::format("recovery action {} (nvidia-smi -q)", action);
  }
}

void HealthTracker::on_xid(int64_t xid, double epoch) {
  last_xid_ = xid;
  if (xid_class(xid) != XidClass::fault) return;
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

void HealthTracker::on_recovery_action(std::optional<uint32_t> action) {
  recovery_told_ = action.has_value();
  recovery_.reset();
  if (const std::string words = recovery_words(action.value_or(0)); !words.empty())
    recovery_ = Reason{"recovery_action", "the driver asks: " + words};
}

void HealthTracker::on_reset() {
  recovery_.reset();
  xid_.reset();
  ecc_.reset();
  reset_.reset();
}

Health HealthTracker::health() const {
  Health health;
  for (const auto* reason : {&recovery_, &xid_, &ecc_, &remap_, &reset_}) {
    if (reason == &ecc_ && recovery_told_) continue;
    if (*reason) health.reasons.push_back(**reason);
  }
  return health;
}

}  // namespace saemill
