// The memory that a configuration needs, for the commands that ask.
#pragma once

#include <string>
#include <vector>

#include "control/select/device_estimate.h"

namespace saemill {

// Reads the configuration, asks saemill-worker for the width of its activations where it does not say, and
// estimates for these devices on this machine.
Estimate estimate_file(const std::string& config, const std::vector<std::string>& overrides,
                       const EstimateDevices& devices, const std::string& worker);

// With what was measured of these GPUs and kept in `data` (empty: the default).
EstimateDevices devices_named(const Snapshot& snapshot, const std::vector<std::string>& names,
                              const std::string& data);

}  // namespace saemill
