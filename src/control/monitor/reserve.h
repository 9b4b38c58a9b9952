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

inline constexpr double kReadingPatience = 5;  // seconds

// Leases `uuids` to `holder`, all or none. Empty: they are the job's. The devices are sampled before the
// transaction (a hung driver must not hold the database) and again after its commit; a stranger found then
// gives the lease back. Each time GPUs are read anew: a reading that began before the question does not
// count. A driver that has none to give within kReadingPatience refuses them as stale, and at once while it
// is known to hang. CPU slots do not wait for it. Holds no lock of the monitor while it waits.
std::vector<Refusal> reserve(Monitor& monitor, Leases& leases, const std::vector<std::string>& uuids,
                             const LeaseHolder& holder);

}  // namespace saemill
