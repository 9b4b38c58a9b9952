#include "engine/gpu/launch_call.h"

#include "common/base/error.h"

namespace saemill::gpu {

bool check_grid(const char* kernel, const Grid& grid, size_t device_shared_bytes) {
  const Blocks& b = grid.blocks;
  if (b.x < 0 || b.y < 0 || b.z < 0 || b.x > kMaxBlocksX || b.y > kMaxBlocksYZ || b.z > kMaxBlocksYZ)
    fail(ErrorCode::internal, "kernel {}: a grid of {} x {} x {} blocks, at most {} x {} x {} are possible",
         kernel, b.x, b.y, b.z, kMaxBlocksX, kMaxBlocksYZ, kMaxBlocksYZ);
  if (grid.threads < 1 || grid.threads > kMaxThreads)
    fail(ErrorCode::internal, "kernel {}: blocks of {} threads, 1 to {} are possible", kernel, grid.threads,
         kMaxThreads);
  if (grid.shared_bytes > device_shared_bytes)
    fail(ErrorCode::internal, "kernel {}: {} bytes of shared memory, the device has {} for a block", kernel,
         grid.shared_bytes, device_shared_bytes);
  return b.x > 0 && b.y > 0 && b.z > 0;
}

}  // namespace saemill::gpu
