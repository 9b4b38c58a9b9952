#include "common/plan/gpu_scratch.h"

namespace saemill {
namespace {

// Of the kernels in engine/backend/cuda: select.cu, group.cu, latents.cu.
int64_t select_bytes(int64_t rows, int64_t slots) {
  if (slots == 0) return 0;
  return rows * (8 * (slots + std::clamp<int64_t>(slots, 192, 2048)) + 8) + 64;
}

int64_t group_bytes(int64_t slots) {
  return slots == 0 ? 0 : 3 * round_up(4 * slots, 256) + 9 * slots + (int64_t{1} << 20);
}

int64_t pieces_of(int64_t slots) {
  return slots == 0 ? 0 : slots / 128 + 1;
}

// Chunk of latents of the dense path's backward half, over the whole batch.
int64_t dense_bytes(const WorkExtent& extent) {
  const int64_t chunk = gpu_chunk(extent.d_sae, extent.batch);
  const int64_t forward =
      extent.rows * gpu_chunk(extent.d_sae, extent.rows) * extent.low_size + extent.rows * extent.d_in * 4;
  const int64_t backward = extent.batch * chunk * (2 * 4 + 2 * extent.low_size) +
                           chunk * (2 * extent.d_in + 2 + ceil_div(extent.batch, kBlock)) * 4;
  return std::max(forward, backward) + 4096;
}

}  // namespace

GpuScratch gpu_scratch(const WorkExtent& extent) {
  const int64_t codes = extent.batch * extent.slots, aux = extent.batch * extent.aux_slots;
  const int64_t pieces = pieces_of(codes) + pieces_of(aux);
  GpuScratch scratch;
  scratch.staged = 2 * round_up(extent.rows * extent.d_in * 4, 256);
  scratch.pre = round_up(extent.rows * gpu_chunk(extent.d_sae, extent.rows) * 4, 256);
  scratch.dense = extent.dense ? dense_bytes(extent) : 0;
  scratch.select = select_bytes(extent.rows, extent.slots);
  scratch.aux_select = select_bytes(extent.rows, extent.aux_slots);
  scratch.group = std::max(group_bytes(codes), group_bytes(aux));
  scratch.pieces = 2 * 4 * (extent.latents + 2 * std::max(pieces_of(codes), pieces_of(aux)));
  scratch.latents = 8 * ceil_div(extent.latents, kBlock) * ceil_div(extent.d_in, 128) + 8 * extent.latents +
                    pieces * (2 * extent.d_in + 1) * 4 + 8 * 256;
  scratch.gemm = int64_t{32} << 20;
  return scratch;
}

}  // namespace saemill
