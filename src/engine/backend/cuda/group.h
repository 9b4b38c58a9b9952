// Active slots of codes by latent, for gradients without scatter: the semantics of Backend::group_by_latent.
// All pointers are device memory; everything is enqueued on the stream and nothing waits or allocates.
#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/gpu/runtime.h"

namespace saemill::gpu {

// A latent that more slots than this point to is split into pieces of this many, the last one shorter. Their
// sums are added in the order of the pieces.
constexpr int64_t kPieceSlots = 256;

struct GroupTask {
  const int32_t* index = nullptr;  // [rows, k]
  const float* value = nullptr;    // [rows, k]; active where > 0
  int64_t rows = 0;
  int64_t k = 0;
  int64_t first = 0, last = 0;  // latents
};

// The pieces of one latent have consecutive numbers, in the order of their slots. Numbers are given by place,
// so that no thread needs to know what others found; not all are used.
struct LatentGroups {
  int64_t* offsets = nullptr;      // [last - first + 1]: slots of latent first + i in positions
  int32_t* positions = nullptr;    // [rows * k]: row * k + slot, in batch order; beyond offsets[last - first]
                                   // those of slots that are not active or of other latents
  int32_t* first_piece = nullptr;  // [last - first]; -1: the latent is not split
  int32_t* piece_latent = nullptr;  // [max_pieces]: latent - first; -1: there is no such piece
  int32_t* piece_begin = nullptr;   // [max_pieces]: in positions; ends after kPieceSlots or with the latent
};

// Of so many slots.
constexpr int64_t max_pieces(int64_t slots) {
  return slots / (kPieceSlots / 2) + 1;
}

// For so many slots (rows * k) or fewer, and any number of latents; aligned to 256.
size_t group_scratch_bytes(int64_t slots);

void group_by_latent(const GroupTask& task, const LatentGroups& out, void* scratch, size_t scratch_bytes,
                     const Stream& stream);

// What group_by_latent is made of: a stable sort of pairs by the lower `bits` of the keys. CUB's, or its
// twin.
struct SortPairs {
  const uint32_t* keys = nullptr;
  uint32_t* sorted_keys = nullptr;
  const int32_t* values = nullptr;
  int32_t* sorted_values = nullptr;
  int64_t count = 0;
  int bits = 32;
};

// At least what the sort needs, known without a device.
size_t sort_scratch_bytes(int64_t count);
void sort_pairs(const SortPairs& pairs, void* scratch, size_t scratch_bytes, const Stream& stream);

}  // namespace saemill::gpu
