// The device memory of a CudaBackend, and what it keeps of it for itself.
#pragma once

#include <array>
#include <vector>

#include "common/plan/gpu_scratch.h"
#include "engine/backend/cuda/group.h"
#include "engine/backend/cuda/select.h"
#include "engine/backend/cuda/sums.h"
#include "engine/gpu/runtime.h"

namespace saemill {

// Small host values on their way to the device: copied into pinned memory first, so that the caller need not
// keep them.
class Mailbox {
 public:
  static constexpr size_t kSlots = 16, kSlotBytes = 128;

  Mailbox() : memory_(kSlots * kSlotBytes) {}
  void send(void* to, const void* from, size_t bytes, const gpu::Stream& stream);

 private:
  gpu::PinnedMemory memory_;
  std::array<gpu::Event, kSlots> sent_;
  size_t next_ = 0;
};

// Batches on their way from the loader to the device, on a stream of their own, beside the step before.
class Stage {
 public:
  void reserve(size_t bytes);
  void release();  // nothing of it is in use any more
  // Valid until the next but one call. Returns when `from` may be overwritten.
  std::byte* copy(const void* from, size_t bytes, const gpu::Stream& compute);

 private:
  struct Slot {
    gpu::Memory memory;
    gpu::Event free, filled;
  };
  gpu::Stream stream_;
  std::array<Slot, 2> slots_;
  size_t count_ = 0;
};

// Regions of common/plan/gpu_scratch.h.
struct CudaScratch {
  explicit CudaScratch(const WorkExtent& extent);

  WorkExtent extent;
  GpuScratch bytes;
  int64_t chunk;  // latents in one GEMM over the rank's rows
  gpu::Memory pre, dense, select, aux_select, group, pieces, latents, gemm, small;
  gpu::AdamConstants* adam;
  int64_t* dead_count;

  // Pieces of long segments: of the code and of the auxiliary code.
  gpu::LatentGroups groups(bool aux, int64_t slots_in_batch);
};

}  // namespace saemill
