// CUDA_VISIBLE_DEVICES, by which people on shared machines are told which GPUs are theirs.
#pragma once

#include <string>
#include <vector>

#include "control/monitor/device.h"

namespace saemill {

// For each device whether `list` leaves it in, as CUDA reads it: indices in the order of the PCI bus, uuids
// or their beginnings, of GPUs and of MIG instances. What follows an entry that names nothing is not read,
// and a device named twice leaves out all. A GPU stands for its MIG instances too. CPU slots are always in.
std::vector<bool> visible_devices(const std::vector<Device>& devices, const std::string& list);

}  // namespace saemill
