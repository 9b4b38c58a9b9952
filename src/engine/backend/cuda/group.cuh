// Kernels of group.h; the sort lies between them.
#pragma once

#include "engine/backend/cuda/group.h"
#include "engine/gpu/kernel.h"

namespace saemill::gpu {

constexpr int kGroupThreads = 256;

__device__ inline int64_t global_thread() {
  return int64_t{blockIdx.x} * kGroupThreads + threadIdx.x;
}

// The latent's number in its range; that of none, which sorts last, for slots that do not count.
__global__ void __launch_bounds__(kGroupThreads)
    slot_keys_kernel(const int32_t* __restrict__ index, const float* __restrict__ value, int64_t slots,
                     int32_t first, int32_t last, uint32_t* __restrict__ keys,
                     int32_t* __restrict__ positions) {
  const int64_t p = global_thread();
  if (p >= slots) return;
  const int32_t latent = index[p];
  const bool counts = value[p] > 0 && latent >= first && latent < last;
  keys[p] = static_cast<uint32_t>((counts ? latent : last) - first);
  positions[p] = static_cast<int32_t>(p);
}

// The first place of a key that is not below `key`.
__device__ inline int64_t lower_bound(const uint32_t* keys, int64_t count, uint32_t key) {
  int64_t low = 0;
  for (int64_t high = count; low < high;) {
    const int64_t middle = low + (high - low) / 2;
    if (keys[middle] < key)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

__global__ void __launch_bounds__(kGroupThreads)
    group_offsets_kernel(const uint32_t* __restrict__ sorted_keys, int64_t slots, int64_t latents,
                         int64_t* __restrict__ offsets) {
  const int64_t j = global_thread();
  if (j <= latents) offsets[j] = lower_bound(sorted_keys, slots, static_cast<uint32_t>(j));
}

// The number of a latent's first piece. A latent of more than kPieceSlots slots has no more pieces than it
// has whole halves of kPieceSlots, so the numbers of latents do not meet, and the slot at half a piece times
// the number of a piece belongs to the latent of the piece.
__device__ inline int64_t first_piece_of(int64_t begin) {
  constexpr int64_t kHalf = kPieceSlots / 2;
  return (begin + kHalf - 1) / kHalf;
}

__device__ inline int64_t pieces_of(int64_t slots) {
  return slots > kPieceSlots ? (slots + kPieceSlots - 1) / kPieceSlots : 0;
}

// Thread i finds the first piece of latent i and the latent of piece i.
__global__ void __launch_bounds__(kGroupThreads)
    group_pieces_kernel(const uint32_t* __restrict__ sorted_keys, int64_t latents,
                        const int64_t* __restrict__ offsets, int64_t pieces,
                        int32_t* __restrict__ first_piece, int32_t* __restrict__ piece_latent,
                        int32_t* __restrict__ piece_begin) {
  const int64_t i = global_thread();
  if (i < latents) {
    const int64_t begin = offsets[i];
    const bool split = pieces_of(offsets[i + 1] - begin) > 0;
    first_piece[i] = split ? static_cast<int32_t>(first_piece_of(begin)) : -1;
  }
  if (i >= pieces) return;
  int32_t latent = -1;
  int64_t piece_at = 0;
  const int64_t slot = i * (kPieceSlots / 2);
  if (slot < offsets[latents]) {
    const uint32_t owner = sorted_keys[slot];
    const int64_t begin = offsets[owner], nth = i - first_piece_of(begin);
    if (nth < pieces_of(offsets[owner + 1] - begin)) {
      latent = static_cast<int32_t>(owner);
      piece_at = begin + nth * kPieceSlots;
    }
  }
  piece_latent[i] = latent;
  piece_begin[i] = static_cast<int32_t>(piece_at);
}

}  // namespace saemill::gpu
