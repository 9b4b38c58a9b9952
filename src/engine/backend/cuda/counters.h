// Single numbers on the device.
#pragma once

#include <cstdint>

#include "engine/gpu/runtime.h"

namespace saemill::gpu {

// *out = *count, both device memory; enqueued.
void store_count(const int64_t* count, double* out, const Stream& stream);

}  // namespace saemill::gpu
