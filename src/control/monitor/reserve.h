// Taking devices for a job: look, take, look again.
#pragma once

#include <string>
#include <vector>

#include "control/monitor/monitor.h"

namespace saemill {

struct Refusal {
  std::string uuid;
  Reason reason;  // of the device: why it cannot be had
};

inline constexpr double kFreshSeconds = 0.25;

// Leases `uuids` to `holder`, all or none. Empty: they are the job's. The devices are sampled before the
// transaction (a hung driver must not hold the database) and again after its commit; a stranger found then
// gives the lease back. A device that cannot be sampled within kFreshSeconds is refused as stale.
std::vector<Refusal> reserve(Monitor& monitor, Leases& leases, const std::vector<std::string>& uuids,
                             const LeaseHolder& holder);

}  // namespace saemill
