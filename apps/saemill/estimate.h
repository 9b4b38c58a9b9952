// The memory that a configuration needs, for the commands that ask.
#pragma once

#include <string>
#include <vector>

#include "common/plan/estimate.h"

namespace saemill {

// Reads the configuration, asks saemill-worker for the width of its activations where it does not say, and
// estimates for `devices` ranks on this machine.
Estimate estimate_file(const std::string& config, const std::vector<std::string>& overrides, int64_t devices,
                       const std::string& worker);

// Bytes on each of `devices` devices.
int64_t memory_of(const std::string& config, const std::vector<std::string>& overrides, int64_t devices);

}  // namespace saemill
