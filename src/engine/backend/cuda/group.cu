#include "engine/backend/cuda/group.cuh"

#include <algorithm>
#include <bit>

#include "common/base/error.h"
#include "engine/backend/cuda/group.h"
#include "engine/gpu/launch.h"

namespace saemill::gpu {
namespace {

constexpr size_t kAlignment = 256;

size_t array_bytes(int64_t slots) {
  return (static_cast<size_t>(slots) * sizeof(uint32_t) + kAlignment - 1) / kAlignment * kAlignment;
}

Grid threads_for(int64_t count) {
  return {{(count + kGroupThreads - 1) / kGroupThreads}, kGroupThreads};
}

}  // namespace

size_t group_scratch_bytes(int64_t slots) {
  return 3 * array_bytes(slots) + sort_scratch_bytes(slots);
}

void group_by_latent(const GroupTask& task, const LatentGroups& out, void* scratch, size_t scratch_bytes,
                     const Stream& stream) {
  const int64_t slots = task.rows * task.k, latents = task.last - task.first;
  ensure(slots >= 0 && slots <= 0x7fffffff && task.first >= 0 && latents >= 0 && task.last < 0x7fffffff,
         "codes to group by latent");
  ensure(scratch_bytes >= group_scratch_bytes(slots), "the scratch memory of group_by_latent");
  auto* memory = static_cast<std::byte*>(scratch);
  const size_t bytes = array_bytes(slots);
  auto* keys = reinterpret_cast<uint32_t*>(memory);
  auto* sorted_keys = reinterpret_cast<uint32_t*>(memory + bytes);
  auto* positions = reinterpret_cast<int32_t*>(memory + 2 * bytes);
  launch(stream, "slot_keys", slot_keys_kernel, threads_for(slots), task.index, task.value, slots,
         static_cast<int32_t>(task.first), static_cast<int32_t>(task.last), keys, positions);
  const int bits = static_cast<int>(std::bit_width(static_cast<uint64_t>(latents)));
  sort_pairs({keys, sorted_keys, positions, out.positions, slots, std::max(bits, 1)}, memory + 3 * bytes,
             scratch_bytes - 3 * bytes, stream);
  launch(stream, "group_offsets", group_offsets_kernel, threads_for(latents + 1), sorted_keys, slots, latents,
         out.offsets);
  const int64_t pieces = max_pieces(slots);
  launch(stream, "group_pieces", group_pieces_kernel, threads_for(std::max(latents, pieces)), sorted_keys,
         latents, out.offsets, pieces, out.first_piece, out.piece_latent, out.piece_begin);
}

}  // namespace saemill::gpu
