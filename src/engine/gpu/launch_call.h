// A launch without its types. Used through launch.h.
#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/gpu/runtime.h"

namespace saemill::gpu {

struct Blocks {
  int64_t x = 1, y = 1, z = 1;
};

struct Grid {
  Blocks blocks{};
  int threads = 256;        // of a block, in one dimension
  size_t shared_bytes = 0;  // dynamic
};

// Limits of the hardware that all generations since sm_80 share.
constexpr int64_t kMaxBlocksX = 0x7fffffff, kMaxBlocksYZ = 65535;
constexpr int kMaxThreads = 1024;
constexpr size_t kMaxStaticShared = 48 << 10;  // dynamic memory beyond it is asked for by the launch

// Whether there is something to start; Error{internal} that names the kernel where a limit is exceeded.
bool check_grid(const char* kernel, const Grid& grid, size_t device_shared_bytes);

// CUDA's launch: the address of the kernel's host function, and the addresses of its arguments.
void launch_call(const Stream& stream, const char* name, const void* kernel, const Grid& grid,
                 void** arguments);

}  // namespace saemill::gpu
