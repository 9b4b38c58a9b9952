// What a rank's --device and --uuid stand for.
#pragma once

#include <string>

#include "common/protocol/run_config.h"
#include "engine/train/rank_device.h"

namespace saemill {

// Sees to it that this process uses the GPU with that uuid, before CUDA starts. Error{retry} where it is not
// the one that CUDA shows.
void use_gpu(const std::string& uuid);

// `deadline`: seconds that an exchange waits for its peers.
MakeDevice gpu_device(const ParallelConfig& parallel, double deadline);

}  // namespace saemill
