#include "control/monitor/reserve.h"

#include <algorithm>

#include <fmt/format.h>

namespace saemill {
namespace {

// What stands in the way of `job`; on its own lease the job may find itself.
std::vector<Refusal> refusals(const Snapshot& snapshot, const std::vector<std::string>& uuids,
                              const std::string& job) {
  std::vector<Refusal> found;
  for (const std::string& uuid : uuids) {
    const auto at = std::find_if(snapshot.devices.begin(), snapshot.devices.end(),
                                 [&](const Device& device) { return device.uuid == uuid; });
    if (at == snapshot.devices.end()) {
      found.push_back({uuid, {"does_not_exist", "there is no such device"}});
      continue;
    }
    const bool own = at->current_job == job && at->reason.code == "leased";
    if (at->age_ms > kFreshSeconds * 1e3) {
      found.push_back({uuid, {"stale", fmt::format("the driver last told of it {:.0f} ms ago", at->age_ms)}});
    } else if (at->availability != Availability::free && !own) {
      found.push_back({uuid, at->reason});
    }
  }
  return found;
}

}  // namespace

std::vector<Refusal> reserve(Monitor& monitor, Leases& leases, const std::vector<std::string>& uuids,
                             const LeaseHolder& holder) {
  if (auto found = refusals(*monitor.sample_now(kFreshSeconds), uuids, holder.job_id); !found.empty())
    return found;
  std::vector<Refusal> found;
  for (const Lease& lease : leases.take(uuids, holder)) {
    found.push_back(
        {lease.uuid, {"leased", fmt::format("leased to {} {}", lease.holder.job_type, lease.holder.job_id)}});
  }
  if (!found.empty()) return found;
  found = refusals(*monitor.sample_now(kFreshSeconds), uuids, holder.job_id);
  if (!found.empty()) leases.release(holder.job_id);
  return found;
}

}  // namespace saemill
