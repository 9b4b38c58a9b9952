// What a process holds on a GPU besides a training's buffers: measured once for each model and driver, and
// kept in DATA/gpu_constants.json.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "common/plan/estimate.h"
#include "control/monitor/device.h"

namespace saemill {

// Absent: never measured for this model and driver.
std::optional<DeviceConstants> measured_constants(const std::filesystem::path& data, const Device& gpu,
                                                  const std::string& driver_version);

// Starts a small training on the GPU and asks the driver what its process holds. Error{retry}: it ended, or
// the driver does not show it. Error{bad_config}: this saemill-worker cannot use GPUs.
DeviceConstants measure_constants(const std::filesystem::path& data, const Device& gpu,
                                  const std::string& worker);

}  // namespace saemill
