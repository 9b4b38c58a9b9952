#include "control/monitor/reserve.h"

#include <algorithm>

#include <fmt/format.h>

#include "common/base/clock.h"

namespace saemill {
namespace {

// Devices as they are now, or as long as the driver was worth waiting for.
struct Look {
  std::shared_ptr<const Snapshot> snapshot;
  double asked;  // monotonic

  bool is_fresh(const Device& device) const {
    return device.kind == DeviceKind::cpu || snapshot->driver.read_at >= asked;
  }
};

Look look(Monitor& monitor, const std::vector<std::string>& uuids) {
  const double asked = monotonic_seconds();
  const bool gpus = std::any_of(uuids.begin(), uuids.end(),
                                [](const std::string& uuid) { return !uuid.starts_with("CPU-"); });
  const bool hangs = monitor.driver().state == nvml::SessionStatus::State::hanging;
  return {monitor.sample_now(gpus && !hangs ? kReadingPatience : 0), asked};
}

Reason stale(const Snapshot& snapshot, const Device& device) {
  const std::string why = snapshot.driver.message.empty() ? "it is slow" : snapshot.driver.message;
  return {"stale", fmt::format("the driver has not read it again, the last time {:.1f} s ago: {}",
                               device.age_ms / 1e3, why)};
}

// What stands in the way of `job`; on its own lease the job may find itself.
std::vector<Refusal> refusals(const Look& look, const std::vector<std::string>& uuids,
                              const std::string& job) {
  std::vector<Refusal> found;
  const auto& devices = look.snapshot->devices;
  for (const std::string& uuid : uuids) {
    const auto at = std::find_if(devices.begin(), devices.end(),
                                 [&](const Device& device) { return device.uuid == uuid; });
    if (at == devices.end()) {
      found.push_back({uuid, {"does_not_exist", "there is no such device"}});
      continue;
    }
    const bool own = at->current_job == job && at->reason.code == "leased";
    if (!look.is_fresh(*at)) {
      found.push_back({uuid, stale(*look.snapshot, *at)});
    } else if (at->availability != Availability::free && !own) {
      found.push_back({uuid, at->reason});
    }
  }
  return found;
}

}  // namespace

std::vector<Refusal> reserve(Monitor& monitor, Leases& leases, const std::vector<std::string>& uuids,
                             const LeaseHolder& holder) {
  if (auto found = refusals(look(monitor, uuids), uuids, holder.job_id); !found.empty()) return found;
  std::vector<Refusal> found;
  for (const Lease& lease : leases.take(uuids, holder)) {
    found.push_back(
        {lease.uuid, {"leased", fmt::format("leased to {} {}", lease.holder.job_type, lease.holder.job_id)}});
  }
  if (!found.empty()) return found;
  found = refusals(look(monitor, uuids), uuids, holder.job_id);
  if (!found.empty()) leases.release(holder.job_id);
  return found;
}

}  // namespace saemill
