// Encoder GEMM in chunks of latents, each tile consumed by exact selection while it is in cache.
#include <algorithm>
#include <bit>
#include <functional>

#include "engine/backend/cpu/cpu_backend.h"

namespace saemill {
namespace {

constexpr int64_t kGroupTiles =
    16;                         // row tiles that see one chunk of weights before the next chunk is loaded
constexpr int32_t kSpare = 16;  // what a vector store may write past the capacity

int32_t capacity_for(int64_t k) {
  return static_cast<int32_t>(std::max(2 * k, k + 96));
}

// Larger key: larger value, or the same value and a lower latent. Values are positive, so their bits order as
// they do.
uint64_t key_of(float value, int32_t index) {
  return (static_cast<uint64_t>(std::bit_cast<uint32_t>(value)) << 32) |
         (0xffffffffu - static_cast<uint32_t>(index));
}

void set_candidate(SelectState& state, int64_t at, uint64_t key) {
  state.value[at] = std::bit_cast<float>(static_cast<uint32_t>(key >> 32));
  state.index[at] = static_cast<int32_t>(0xffffffffu - static_cast<uint32_t>(key));
}

// Keeps the k best. What comes later must be larger than the k-th: at the same value, a later latent loses.
void prune(SelectState& state, int64_t k, std::vector<uint64_t>& keys) {
  keys.clear();
  for (int32_t c = 0; c < state.count; ++c) keys.push_back(key_of(state.value[c], state.index[c]));
  std::nth_element(keys.begin(), keys.begin() + (k - 1), keys.end(), std::greater<>());
  for (int64_t s = 0; s < k; ++s) set_candidate(state, s, keys[static_cast<size_t>(s)]);
  state.count = static_cast<int32_t>(k);
  state.threshold = std::bit_cast<float>(static_cast<uint32_t>(keys[static_cast<size_t>(k - 1)] >> 32));
}

bool write_codes(SelectState& state, const Codes& codes, int64_t row, bool pruned,
                 std::vector<uint64_t>& keys) {
  const int64_t k = codes.index.cols;
  const bool more = pruned || state.count > k;
  if (state.count > k) prune(state, k, keys);
  keys.clear();  // now ascending latents
  for (int32_t c = 0; c < state.count; ++c)
    keys.push_back((static_cast<uint64_t>(static_cast<uint32_t>(state.index[c])) << 32) |
                   std::bit_cast<uint32_t>(state.value[c]));
  std::sort(keys.begin(), keys.end());
  int32_t* index = codes.index.row<int32_t>(row);
  float* value = codes.value.row<float>(row);
  for (size_t s = 0; s < static_cast<size_t>(k); ++s) {
    index[s] = s < keys.size() ? static_cast<int32_t>(keys[s] >> 32) : 0;
    value[s] = s < keys.size() ? std::bit_cast<float>(static_cast<uint32_t>(keys[s])) : 0.0f;
  }
  return more;
}

// The states of a group of rows, for the codes and, behind them, the auxiliary codes.
SelectState* make_states(int64_t rows, int64_t k, int64_t aux_k, ThreadScratch& scratch) {
  const int64_t room = capacity_for(k) + kSpare, aux_room = aux_k > 0 ? capacity_for(aux_k) + kSpare : 0;
  float* value = grow(scratch.candidate_value, rows * (room + aux_room));
  int32_t* index = grow(scratch.candidate_index, rows * (room + aux_room));
  SelectState* states = grow(scratch.states, 2 * rows);
  for (int64_t r = 0; r < 2 * rows; ++r) {
    const bool aux = r >= rows;
    const int64_t at = aux ? rows * room + (r - rows) * aux_room : r * room;
    states[r] = {0.0f, 0, capacity_for(aux ? aux_k : k), value + at, index + at};
  }
  return states;
}

}  // namespace

template <typename Low>
bool CpuBackend<Low>::select_rows(const SelectTask& task, int64_t first_tile, int64_t last_tile,
                                  ThreadScratch& scratch) {
  const int64_t first_row = first_tile * kRowTile,
                rows = std::min(task.rows, last_tile * kRowTile) - first_row;
  const int64_t latents = task.b_enc.cols, k = task.codes.index.cols;
  const auto [dead_begin, dead_end] = dead_list(task.dead);
  const int64_t aux_k = task.dead ? task.aux.index.cols : 0;
  SelectState* states = make_states(rows, k, aux_k, scratch);
  float* tile = grow(scratch.tile, kRowTile * chunk_);
  std::byte* gemm_scratch = grow(scratch.gemm, static_cast<int64_t>(encode_.scratch_bytes()));
  std::vector<uint8_t> pruned(static_cast<size_t>(rows));
  const int32_t* dead = dead_begin;
  for (int64_t chunk = 0; chunk * chunk_ < latents; ++chunk) {
    const auto [first, last] = chunk_range(chunk, latents);
    const int32_t* chunk_dead_end = std::lower_bound(dead, dead_end, static_cast<int32_t>(last));
    for (int64_t t = first_tile; t < last_tile; ++t) {
      encode_.run(task.centered.row<Low>(t * kRowTile), packed_chunk(task.packed, chunk), tile, gemm_scratch);
      for (int64_t r = t * kRowTile; r < std::min(task.rows, (t + 1) * kRowTile); ++r) {
        const float* pre = tile + (r % kRowTile) * chunk_;
        const float* bias = task.b_enc.as<float>() + first;
        SelectState& state = states[r - first_row];
        for (int64_t c = 0; (c = kernels_.scan(pre, bias, c, last - first, static_cast<int32_t>(first),
                                               &state)) < last - first;) {
          prune(state, k, scratch.keys);
          pruned[static_cast<size_t>(r - first_row)] = 1;
        }
        SelectState& aux = states[rows + r - first_row];
        for (const int32_t* j = dead; j != chunk_dead_end; ++j) {
          const float value = pre[*j - first] + bias[*j - first];
          if (!(value > aux.threshold)) continue;
          if (aux.count == aux.capacity) prune(aux, aux_k, scratch.keys);
          if (!(value > aux.threshold)) continue;
          aux.value[aux.count] = value;
          aux.index[aux.count++] = *j;
        }
      }
    }
    dead = chunk_dead_end;
  }
  bool more = false;
  for (int64_t r = 0; r < rows; ++r) {
    more |=
        write_codes(states[r], task.codes, first_row + r, pruned[static_cast<size_t>(r)] != 0, scratch.keys);
    if (aux_k > 0) write_codes(states[rows + r], task.aux, first_row + r, false, scratch.keys);
  }
  return more;
}

template <typename Low>
int64_t CpuBackend<Low>::select_groups(int64_t tiles) const {
  return std::max(ceil_div(tiles, kGroupTiles), std::min(tiles, static_cast<int64_t>(scratch_.size())));
}

template <typename Low>
void CpuBackend<Low>::reserve(const WorkExtent& extent) {
  const int64_t rows = extent.rows;
  const int64_t tiles = ceil_div(rows, kRowTile), groups = std::max<int64_t>(select_groups(tiles), 1);
  const int64_t group_rows = std::min(rows, kRowTile * ceil_div(tiles, groups));
  for (size_t i = 0; i < std::min(scratch_.size(), static_cast<size_t>(groups)); ++i)
    make_states(group_rows, extent.slots, extent.aux_slots, scratch_[i]);
}

template <typename Low>
void CpuBackend<Low>::do_select(const SelectTask& task) {
  const int64_t tiles = ceil_div(task.rows, kRowTile);
  const int64_t groups = select_groups(tiles);
  std::vector<uint8_t> more(static_cast<size_t>(groups));
  parallel_for(groups, scratch_, [&](int64_t group, ThreadScratch& scratch) {
    const int64_t first = tiles * group / groups, last = tiles * (group + 1) / groups;
    if (first < last) more[static_cast<size_t>(group)] = select_rows(task, first, last, scratch);
  });
  if (task.overflow)
    *task.overflow.as<int32_t>() =
        std::any_of(more.begin(), more.end(), [](uint8_t flag) { return flag != 0; });
}

template class CpuBackend<float>;
template class CpuBackend<BFloat16>;

}  // namespace saemill
