// Exact selection of the k largest positive pre-activations of each row, over chunks of latents. All pointers
// are device memory; everything is enqueued on the stream and nothing waits or allocates.
//
// The result is that of Backend::select: value descending, lower latent first on ties. It depends neither on
// the chunks nor on the order in which threads run.
#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/gpu/runtime.h"

namespace saemill::gpu {

// More would need more shared memory for one row than every device of sm_80 and later has.
constexpr int64_t kMaxSelected = 8192;

// What is kept of each row between chunks: candidates, as keys of which the larger is the better one.
struct SelectState {
  uint64_t* keys = nullptr;    // [rows, capacity]
  int32_t* count = nullptr;    // [rows]
  float* threshold = nullptr;  // [rows]; 0 until candidates were dropped
  int32_t k = 0;
  int32_t capacity = 0;
};

// Error{bad_config} where k is not 1 to kMaxSelected. Aligned to 16; its content need not be set.
size_t select_state_bytes(int64_t rows, int64_t k);
SelectState make_select_state(void* memory, int64_t rows, int64_t k);

// Pre-activations without bias of the latents [first, first + count).
struct SelectChunk {
  const float* pre = nullptr;  // [rows, count], rows `ld` apart
  int64_t ld = 0;
  int64_t rows = 0;
  int64_t first = 0;
  int64_t count = 0;
  const float* bias = nullptr;          // [count]
  const uint8_t* dead = nullptr;        // [count]; where given, only latents with a 1 count
  const int64_t* dead_count = nullptr;  // of all latents; where given and 0, no flag is read
};

// Chunks come in ascending order of latents; the one with first == 0 begins the rows anew. Fast where `ld`
// and `count` are multiples of 4, pre and bias are aligned to 16 and dead to 4. A block reads tiles of 4096
// latents.
void select_chunk(const SelectState& state, const SelectChunk& chunk, const Stream& stream);

// After the last chunk. index i32 and value f32 [rows, k], ascending latents, unused slots (value 0, index 0)
// last. `more`, where given, becomes 1 if some row has more than k positive pre-activations, and is left
// alone if not.
void finish_select(const SelectState& state, int64_t rows, int32_t* index, float* value, int32_t* more,
                   const Stream& stream);

// dead[j] = 1 where *seen - last_fired[j] >= dead_after, else 0; *count is their number.
void mark_dead(const int64_t* last_fired, int64_t latents, const int64_t* seen, int64_t dead_after,
               uint8_t* dead, int64_t* count, const Stream& stream);

}  // namespace saemill::gpu
