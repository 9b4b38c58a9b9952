// What a rank's --device and --uuid stand for.
#pragma once

#include <string>

#include "common/protocol/run_config.h"
#include "engine/train/rank_device.h"

namespace saemill {

// This process uses the GPU with that uuid from here on, the first one where it is empty. A MIG instance is
// taken on trust where CUDA shows one device. Error{bad_config} where CUDA shows no such GPU, or none.
void use_gpu(const std::string& uuid);

// `deadline`: seconds that an exchange waits for its peers.
MakeDevice gpu_device(const ParallelConfig& parallel, double deadline);

}  // namespace saemill
