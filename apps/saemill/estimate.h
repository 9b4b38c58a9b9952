// The memory that a configuration needs, for the commands that ask.
#pragma once

#include <string>
#include <vector>

#include "common/plan/estimate.h"

namespace saemill {

// So many devices of one kind.
struct EstimateDevices {
  int64_t count = 1;
  DeviceMemory memory = DeviceMemory::cpu;
  DeviceConstants gpu = gpu_constants();
};

// Reads the configuration, asks saemill-worker for the width of its activations where it does not say, and
// estimates for these devices on this machine.
Estimate estimate_file(const std::string& config, const std::vector<std::string>& overrides,
                       const EstimateDevices& devices, const std::string& worker);

// Bytes on each of the devices.
int64_t memory_of(const std::string& config, const std::vector<std::string>& overrides,
                  const EstimateDevices& devices);

}  // namespace saemill
