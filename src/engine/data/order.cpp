#include "engine/data/order.h"

#include <algorithm>
#include <bit>

#include "common/base/random.h"

namespace saemill {
namespace {

constexpr uint64_t kOrderStream = 2, kBlockStream = 3, kWindowStream = 4;
constexpr int kRounds = 6;

int64_t permuted(int64_t place, int64_t size, uint64_t key) {
  const auto count = static_cast<uint64_t>(size);
  // Two halves of equal width; at most four times as many values as rows, so the walk is short.
  const int half = (static_cast<int>(std::bit_width(count - 1)) + 1) / 2;
  const uint64_t mask = (uint64_t{1} << half) - 1;
  auto value = static_cast<uint64_t>(place);
  do {
    uint64_t left = value >> half, right = value & mask;
    for (uint64_t round = 0; round < kRounds; ++round) {
      const uint64_t next = left ^ (mix64(right + key + round * 0x9e3779b97f4a7c15ULL) & mask);
      left = right;
      right = next;
    }
    value = (left << half) | right;
  } while (value >= count);
  return static_cast<int64_t>(value);
}

uint64_t key_of_epoch(const DataOrder& order, int64_t position) {
  return random_bits(order.seed, kOrderStream, static_cast<uint64_t>(position / order.rows));
}

// Consecutive blocks of the shuffled ones, and behind the last of an epoch the rows that fill no block.
struct Window {
  int64_t begin = 0, rows = 0;  // positions, over all epochs
  int64_t number = 0;           // in its epoch
  int64_t first_block = 0, blocks = 0;
  int64_t whole_blocks = 0;  // of the epoch
  uint64_t key = 0;          // of the epoch
};

Window window_at(const DataOrder& order, int64_t position) {
  Window window;
  window.key = key_of_epoch(order, position);
  window.whole_blocks = order.rows / order.block_rows;
  // All windows of an epoch are as large as each other, give or take a block: a short last one would mix
  // badly.
  const int64_t all = window.whole_blocks;
  const int64_t windows = std::max<int64_t>(1, (all + order.window_blocks - 1) / order.window_blocks);
  const int64_t epoch_begin = position / order.rows * order.rows;
  const int64_t block = std::min((position - epoch_begin) / order.block_rows, std::max<int64_t>(0, all - 1));
  window.number = all == 0 ? 0 : ((block + 1) * windows - 1) / all;
  window.first_block = window.number * all / windows;
  window.blocks = (window.number + 1) * all / windows - window.first_block;
  window.begin = epoch_begin + window.first_block * order.block_rows;
  const bool last = window.number + 1 == windows;
  window.rows = last ? epoch_begin + order.rows - window.begin : window.blocks * order.block_rows;
  return window;
}

// The n-th of a window's blocks; of the epoch's last window also the rows behind the last whole block.
RowRange block_of(const DataOrder& order, const Window& window, int64_t n) {
  if (n == window.blocks) return {window.whole_blocks * order.block_rows, order.rows};
  const int64_t block =
      permuted(window.first_block + n, window.whole_blocks, random_bits(window.key, kBlockStream, 0));
  return {block * order.block_rows, (block + 1) * order.block_rows};
}

int64_t count_blocks(const DataOrder& order, const Window& window) {
  return window.blocks + (window.rows > window.blocks * order.block_rows ? 1 : 0);
}

void add_blocks(const DataOrder& order, const Window& window, int64_t first, int64_t last,
                std::vector<RowRange>& to) {
  for (int64_t n = first; n < last; ++n) to.push_back(block_of(order, window, n));
}

}  // namespace

int64_t row_at(const DataOrder& order, int64_t position) {
  if (order.block_rows == 1)
    return permuted(position % order.rows, order.rows, key_of_epoch(order, position));
  const Window window = window_at(order, position);
  const uint64_t key = random_bits(window.key, kWindowStream, static_cast<uint64_t>(window.number));
  const int64_t place = permuted(position - window.begin, window.rows, key);
  const int64_t n = std::min(place / order.block_rows, window.blocks);
  return block_of(order, window, n).first + place - n * order.block_rows;
}

std::vector<RowRange> blocks_ahead(const DataOrder& order, int64_t first, int64_t last, int64_t end) {
  std::vector<RowRange> found;
  while (order.block_rows > 1 && first < last) {
    const Window window = window_at(order, first);
    const int64_t next_begin = window.begin + window.rows, stop = std::min(last, next_begin);
    if (next_begin >= end) break;
    const Window next = window_at(order, next_begin);
    const int64_t count = count_blocks(order, next);
    add_blocks(order, next, (first - window.begin) * count / window.rows,
               (stop - window.begin) * count / window.rows, found);
    first = stop;
  }
  return found;
}

std::vector<RowRange> blocks_at_start(const DataOrder& order, int64_t position, int64_t end) {
  std::vector<RowRange> found;
  if (order.block_rows == 1 || position >= end) return found;
  const Window window = window_at(order, position);
  add_blocks(order, window, 0, count_blocks(order, window), found);
  const auto ahead = blocks_ahead(order, window.begin, position, end);
  found.insert(found.end(), ahead.begin(), ahead.end());
  return found;
}

}  // namespace saemill
