#include "engine/data/order.h"

#include <bit>

#include "common/base/random.h"

namespace saemill {
namespace {

constexpr uint64_t kOrderStream = 2;
constexpr int kRounds = 6;

}  // namespace

int64_t row_at(int64_t position, int64_t rows, uint64_t seed) {
  const auto epoch = static_cast<uint64_t>(position / rows);
  const auto count = static_cast<uint64_t>(rows);
  // Two halves of equal width; at most four times as many values as rows, so the walk is short.
  const int half = (static_cast<int>(std::bit_width(count - 1)) + 1) / 2;
  const uint64_t mask = (uint64_t{1} << half) - 1;
  const uint64_t key = random_bits(seed, kOrderStream, epoch);
  auto value = static_cast<uint64_t>(position % rows);
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

}  // namespace saemill
