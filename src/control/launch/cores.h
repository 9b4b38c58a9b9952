// Which cores each rank of a job is pinned to.
#pragma once

#include <filesystem>
#include <vector>

#include "control/launch/devices.h"

namespace saemill {

// One set of cores per rank, ascending, of those `allowed` (ascending). Threads of one physical core stay
// together, and shares are equal to within one physical core. CPU slots divide all that is allowed; GPUs
// divide what sysfs calls local to them, with those of the job's other GPUs to which the same is local. An
// empty set, which leaves the rank where the launcher may run: sysfs does not know the GPU, or nothing local
// to it is allowed, or there are more ranks than cores, since ranks that share a core are better left to the
// kernel.
std::vector<std::vector<int>> cores_of_ranks(const std::vector<JobDevice>& devices,
                                             const std::vector<int>& allowed,
                                             const std::filesystem::path& sysfs = "/sys");

}  // namespace saemill
