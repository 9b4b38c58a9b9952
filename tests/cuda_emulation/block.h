// Runs the blocks of a kernel, one after another, their threads as fibers. Only under the device lock
// (machine.h), so one kernel runs at a time in the process.
#pragma once

#include <functional>
#include <string>

#include "engine/gpu/launch_call.h"

namespace saemill::gpu::emulation {

// Throws the first Error of a thread, or one that tells who waits for whom where all wait.
void run_kernel(const std::string& name, const Grid& grid, const std::function<void()>& thread,
                size_t device_shared_bytes);

}  // namespace saemill::gpu::emulation
