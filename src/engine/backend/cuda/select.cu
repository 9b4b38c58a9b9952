#include "engine/backend/cuda/select.cuh"

#include <algorithm>
#include <bit>

#include "common/base/error.h"
#include "engine/backend/cuda/select.h"
#include "engine/gpu/launch.h"

namespace saemill::gpu {
namespace {

// Room for candidates beyond k: where it is small the threshold is raised often, where it is large shared
// memory runs out.
int64_t capacity_for(int64_t k) {
  if (k < 1 || k > kMaxSelected)
    fail(ErrorCode::bad_config, "selecting {} latents per activation: 1 to {} are possible on a GPU", k,
         kMaxSelected);
  return k + std::clamp<int64_t>(k, 192, 2048);
}

size_t round_up(size_t bytes) {
  return (bytes + 15) / 16 * 16;
}

bool aligned(const void* pointer, uintptr_t bytes) {
  return reinterpret_cast<uintptr_t>(pointer) % bytes == 0;
}

template <int Width>
void start_chunk(const SelectState& state, const SelectChunk& chunk, const Stream& stream) {
  const size_t shared = static_cast<size_t>(state.capacity) * sizeof(uint64_t);
  if (chunk.dead)
    launch(stream, "select_chunk_dead", select_chunk_dead_kernel<Width>,
           {{std::min(chunk.rows, kSelectDeadBlocks)}, kSelectThreads, shared}, state, chunk);
  else
    launch(stream, "select_chunk", select_chunk_kernel<Width>, {{chunk.rows}, kSelectThreads, shared}, state,
           chunk);
}

}  // namespace

size_t select_state_bytes(int64_t rows, int64_t k) {
  const auto r = static_cast<size_t>(rows);
  return round_up(r * static_cast<size_t>(capacity_for(k)) * sizeof(uint64_t)) +
         round_up(r * sizeof(int32_t)) + round_up(r * sizeof(float));
}

SelectState make_select_state(void* memory, int64_t rows, int64_t k) {
  const int64_t capacity = capacity_for(k);
  const auto r = static_cast<size_t>(rows);
  auto* keys = static_cast<std::byte*>(memory);
  std::byte* count = keys + round_up(r * static_cast<size_t>(capacity) * sizeof(uint64_t));
  std::byte* threshold = count + round_up(r * sizeof(int32_t));
  return {reinterpret_cast<uint64_t*>(keys), reinterpret_cast<int32_t*>(count),
          reinterpret_cast<float*>(threshold), static_cast<int32_t>(k), static_cast<int32_t>(capacity)};
}

void select_chunk(const SelectState& state, const SelectChunk& chunk, const Stream& stream) {
  constexpr int64_t kMaxLatents = 0x7fffffff - kSelectTile;
  ensure(chunk.first >= 0 && chunk.count > 0 && chunk.first + chunk.count <= kMaxLatents &&
             chunk.ld >= chunk.count,
         "a chunk of latents to select from");
  if (chunk.ld % 4 == 0 && chunk.count % 4 == 0 && aligned(chunk.pre, 16) && aligned(chunk.bias, 16) &&
      aligned(chunk.dead, 4))
    start_chunk<4>(state, chunk, stream);
  else
    start_chunk<1>(state, chunk, stream);
}

void finish_select(const SelectState& state, int64_t rows, int32_t* index, float* value, int32_t* more,
                   const Stream& stream) {
  const int padded = static_cast<int>(std::bit_ceil(static_cast<unsigned>(state.k)));
  const size_t shared = static_cast<size_t>(std::max(padded, state.capacity)) * sizeof(uint64_t);
  // Few threads where k is small: most of them would only wait at barriers.
  if (state.k <= 256)
    launch(stream, "finish_select", finish_select_kernel<128>, {{rows}, 128, shared}, state, padded, index,
           value, more);
  else
    launch(stream, "finish_select", finish_select_kernel<512>, {{rows}, 512, shared}, state, padded, index,
           value, more);
}

void mark_dead(const int64_t* last_fired, int64_t latents, const int64_t* seen, int64_t dead_after,
               uint8_t* dead, int64_t* count, const Stream& stream) {
  fill(count, 0, sizeof *count, stream);
  launch(stream, "mark_dead", mark_dead_kernel,
         {{(latents + kSelectThreads - 1) / kSelectThreads}, kSelectThreads}, last_fired, latents, seen,
         dead_after, dead, reinterpret_cast<unsigned long long*>(count));
}

}  // namespace saemill::gpu
