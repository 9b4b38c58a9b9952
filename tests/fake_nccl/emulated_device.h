// The GPU of tests/cuda_emulation as the device of the fake NCCL.
#pragma once

#include "fake_nccl/fake_nccl.h"

namespace fake_nccl {

Device& emulated_device();

}  // namespace fake_nccl
