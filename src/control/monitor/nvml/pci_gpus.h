// NVIDIA GPUs as the kernel sees them, driver or not.
#pragma once

#include <filesystem>

namespace saemill::nvml {

// Whether a device of NVIDIA's (vendor 0x10de) that draws or computes (class 0x03....) is on the PCI bus.
// True where that cannot be read: then nobody may conclude that there is none.
bool may_have_gpu(const std::filesystem::path& devices = "/sys/bus/pci/devices");

}  // namespace saemill::nvml
