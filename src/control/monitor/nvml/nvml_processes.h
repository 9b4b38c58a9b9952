// Who runs on a GPU.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "control/monitor/device.h"
#include "control/monitor/nvml/nvml_library.h"

namespace saemill::nvml {

// The size of one entry in what the driver wrote. R535 drivers wrote 32 bytes under the symbol whose entries
// have 24 before and after, which swaps pid and memory from the second entry on (go-nvml issue 75). `buffer`
// was filled with kCanary before the call, so what was written shows how long the entries are; if the driver
// cleared more than it wrote, the pids decide.
inline constexpr std::byte kCanary{0xA5};
size_t process_stride(std::span<const std::byte> buffer, size_t count);

// All processes of the handle, each pid once, compute before graphics and MPS. Absent: the driver does not
// list them.
std::optional<std::vector<DeviceProcess>> read_processes(Library& library, Handle handle);

}  // namespace saemill::nvml
