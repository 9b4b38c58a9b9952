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
constexpr size_t kMaxStaticShared = 48 << 10;
// So much holds static and dynamic memory together, unless a launch asks for more. It does not know what of
// it is static, so it asks early: from here on.
constexpr size_t kAskedShared = 40 << 10;
inline bool asks_for_shared(size_t dynamic_bytes) {
  return dynamic_bytes > kAskedShared;
}

// Whether there is something to start; Error{internal} that names the kernel where a limit is exceeded.
bool check_grid(const char* kernel, const Grid& grid, size_t device_shared_bytes);

// CUDA's launch: the address of the kernel's host function, and the addresses of its arguments.
void launch_call(const Stream& stream, const char* name, const void* kernel, const Grid& grid,
                 void** arguments);

}  // namespace saemill::gpu
