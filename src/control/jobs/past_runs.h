// Trainings of this server as speed_estimate.h wants to learn from them.
#pragma once

#include <string>
#include <vector>

#include "control/monitor/inventory.h"
#include "control/select/speed_estimate.h"
#include "control/store/measured_runs.h"

namespace saemill {

// The name that all of these devices have; empty: they differ, or one of them is not here.
std::string common_name(const Snapshot& snapshot, const std::vector<std::string>& ids);

// Those whose devices are still here. None while the store is away: an estimate does not wait for it.
std::vector<PastRun> past_runs(const MeasuredRuns& measured, const std::string& server_id,
                               const Snapshot& snapshot);

}  // namespace saemill
