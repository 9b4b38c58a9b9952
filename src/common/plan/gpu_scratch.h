// What a GPU's backend keeps besides the arena, region by region. The backend allocates these sizes, and its
// tests check that its kernels need no more.
#pragma once

#include <algorithm>
#include <cstdint>

#include "common/plan/tiles.h"

namespace saemill {

// One rank's part of a step.
struct WorkExtent {
  int64_t d_in = 0, d_sae = 0;
  int64_t rows = 0;   // of a micro-batch, that it encodes
  int64_t batch = 0;  // activations of a micro-batch
  int64_t slots = 0;  // of an activation's code
  int64_t aux_slots = 0;
  int64_t latents = 0;  // that it updates
  bool dense = false;   // the dense path is taken too
  int64_t low_size = 2;
};

// Latents in one GEMM of a GPU: whole chunks, so many that the pre-activations stay small beside the second
// level cache and the GEMM is still large.
inline constexpr int64_t kPreBytes = int64_t{128} << 20;
constexpr int64_t gpu_chunk(int64_t d_sae, int64_t rows, int64_t pre_bytes = kPreBytes) {
  const int64_t unit = latent_chunk(d_sae);
  const int64_t fit = pre_bytes / (4 * std::max<int64_t>(rows, 1)) / unit * unit;
  return std::min(round_up(d_sae, unit), std::max(fit, 2 * unit));
}

struct GpuScratch {
  int64_t staged = 0;  // two batches of x
  int64_t pre = 0;     // pre-activations of a chunk
  int64_t dense = 0;   // z, g and dz of a chunk over the batch, x_hat, gradients of a chunk
  int64_t select = 0;  // candidates of each row
  int64_t aux_select = 0;
  int64_t group = 0;     // sorting code slots by latent
  int64_t pieces = 0;    // of long segments
  int64_t latents = 0;   // sums of pieces, norms
  int64_t gemm = 0;      // cuBLASLt's workspace
  int64_t small = 4096;  // Adam's constants, counters, the ring of step scalars

  int64_t total() const {
    return staged + pre + dense + select + aux_select + group + pieces + latents + gemm + small;
  }
};
GpuScratch gpu_scratch(const WorkExtent& extent);

}  // namespace saemill
