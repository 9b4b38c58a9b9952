// What a configuration takes of the memory of named devices: pure functions over a snapshot.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "common/plan/estimate.h"
#include "control/monitor/inventory.h"

namespace saemill {

// Of activations, as saemill-worker tells it.
struct DataShape {
  int64_t rows = 0;
  int64_t d_in = 0;
};

// So many devices of one kind.
struct EstimateDevices {
  int64_t count = 1;
  DeviceMemory memory = DeviceMemory::cpu;
  DeviceConstants gpu = gpu_constants();
  bool gpu_measured = false;  // else `gpu` is assumed
};

// What each of the devices holds. `data` absent: activations.d_in tells the width, and how long the run is
// does not matter. `cores`: what all ranks together may use. ConfigError: a value does not fit the data or
// the devices, or neither data nor activations.d_in is there.
Estimate estimate_on(RunConfig config, const std::optional<DataShape>& data, const EstimateDevices& devices,
                     int64_t cores);

// What a rank runs with: the launcher divides the cores equally.
int64_t threads_of_rank(int64_t cores, int64_t devices);

// "gpu:0", "gpu:1", ... where the machine has GPUs (those that CUDA_VISIBLE_DEVICES leaves), else "cpu:0",
// ...
std::vector<std::string> first_names(const Snapshot& snapshot, int64_t count);

// What was measured of a GPU; absent: nothing.
using MeasuredConstants =
    std::function<std::optional<DeviceConstants>(const Device&, const std::string& driver_version)>;

// GPUs may be named that this machine does not have. The kind is that of the first device that it has, and
// what was measured that of the first GPU.
EstimateDevices estimate_devices(const Snapshot& snapshot, const std::vector<std::string>& names,
                                 const MeasuredConstants& measured);

// False: GPUs and CPU slots together, which do not train.
bool of_one_kind(const Snapshot& snapshot, const std::vector<std::string>& names);

// The named GPUs that this machine has.
std::vector<const Device*> gpus_among(const Snapshot& snapshot, const std::vector<std::string>& names);

// {devices[{gpu, memory_required, memory_free?, fits?, breakdown}], batch, total_memory, context_measured?}:
// the last of GPUs.
nlohmann::ordered_json to_json(const Estimate& estimate, const EstimateDevices& devices,
                               const std::vector<std::string>& names, const Snapshot& snapshot);

}  // namespace saemill
