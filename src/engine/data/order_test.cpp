// Every row once an epoch, however they are mixed, and every block asked for before one of its rows is read.
#include "engine/data/order.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <set>

namespace saemill {
namespace {

using Rows = std::vector<int64_t>;

Rows rows_at(const DataOrder& order, int64_t first, int64_t last) {
  Rows rows;
  for (int64_t position = first; position < last; ++position) rows.push_back(row_at(order, position));
  return rows;
}

Rows sorted(Rows rows) {
  std::sort(rows.begin(), rows.end());
  return rows;
}

void add(const std::vector<RowRange>& blocks, Rows& to) {
  for (const RowRange& block : blocks)
    for (int64_t row = block.first; row < block.last; ++row) to.push_back(row);
}

// Also such that fill no block, one window, or no window's last block.
std::vector<DataOrder> orders() {
  std::vector<DataOrder> all;
  for (int64_t rows = 1; rows <= 120; rows += rows < 40 ? 1 : 13)
    for (const int64_t block_rows : {1, 2, 3, 16})
      for (const int64_t window_blocks : {1, 2, 5, 100}) all.push_back({rows, 5, block_rows, window_blocks});
  return all;
}

std::string name_of(const DataOrder& order) {
  return std::to_string(order.rows) + " rows, blocks of " + std::to_string(order.block_rows) +
         ", windows of " + std::to_string(order.window_blocks);
}

TEST(Order, IsAPermutationOfEachEpoch) {
  for (int64_t rows = 1; rows <= 300; ++rows)
    for (int64_t epoch = 0; epoch < 3; ++epoch) {
      const Rows seen = sorted(rows_at({rows, 5}, epoch * rows, (epoch + 1) * rows));
      for (int64_t row = 0; row < rows; ++row) ASSERT_EQ(seen[static_cast<size_t>(row)], row);
    }
  for (const DataOrder& order : orders())
    for (int64_t epoch = 0; epoch < 3; ++epoch) {
      const Rows seen = sorted(rows_at(order, epoch * order.rows, (epoch + 1) * order.rows));
      for (int64_t row = 0; row < order.rows; ++row)
        ASSERT_EQ(seen[static_cast<size_t>(row)], row) << name_of(order);
    }
}

TEST(Order, IsMixedAndDependsOnSeedAndEpoch) {
  constexpr int64_t kRows = 10000;
  for (const int64_t block_rows : {1, 20}) {
    const auto at = [&](uint64_t seed, int64_t p) { return row_at({kRows, seed, block_rows, 100}, p); };
    int64_t ascending = 0, same_seed = 0, same_epoch = 0;
    for (int64_t p = 0; p + 1 < kRows; ++p) {
      ascending += at(1, p + 1) > at(1, p);
      same_seed += at(1, p) == at(2, p);
      same_epoch += at(1, p) == at(1, p + kRows);
    }
    EXPECT_NEAR(static_cast<double>(ascending), kRows / 2.0, kRows / 20.0);
    EXPECT_LT(same_seed, 20);
    EXPECT_LT(same_epoch, 20);
  }
}

// 500 blocks of 20 rows, in five windows of 100: of 1000 positions each row has (1000 - 1) * 19 / 1999 others
// of its block beside it, and these lie anywhere among them.
TEST(Order, RowsOfABlockAreSpreadOverTheirWindow) {
  const DataOrder order{10000, 3, 20, 100};
  const Rows batch = rows_at(order, 0, 1000);
  double pairs = 0, distance = 0;
  for (size_t i = 0; i < batch.size(); ++i)
    for (size_t j = 0; j < batch.size(); ++j)
      if (i != j && batch[i] / 20 == batch[j] / 20) {
        ++pairs;
        distance += std::abs(static_cast<double>(i) - static_cast<double>(j));
      }
  EXPECT_NEAR(pairs / 1000, 999 * 19.0 / 1999, 0.5);
  EXPECT_NEAR(distance / pairs, 1000 / 3.0, 15);
  std::set<int64_t> blocks;
  for (const int64_t row : rows_at(order, 0, 2000)) blocks.insert(row / 20);
  EXPECT_EQ(blocks.size(), 100u);
  EXPECT_GT(*blocks.rbegin() - *blocks.begin(), 450) << "they lie anywhere in the file";
}

// A short last window would mix badly.
TEST(Order, WindowsAreAlikeInSize) {
  const DataOrder order{101 * 4, 3, 4, 100};
  std::set<int64_t> blocks;
  for (const int64_t row : rows_at(order, 0, 50 * 4)) blocks.insert(row / 4);
  EXPECT_EQ(blocks.size(), 50u);
}

TEST(Order, EveryBlockIsAskedForOnceBeforeItIsRead) {
  for (const DataOrder& order : orders()) {
    if (order.block_rows == 1) continue;
    const int64_t end = 3 * order.rows;
    Rows asked;
    add(blocks_at_start(order, 0, end), asked);
    for (int64_t p = 0; p < end; p += 7) add(blocks_ahead(order, p, std::min(p + 7, end), end), asked);
    ASSERT_EQ(sorted(asked), sorted(rows_at(order, 0, end))) << name_of(order);
  }
}

TEST(Order, WhoBeginsAnywhereHasAskedForWhatItReads) {
  for (const DataOrder& order : orders()) {
    if (order.block_rows == 1 || order.rows > 60) continue;
    const int64_t end = 2 * order.rows;
    for (int64_t start = 0; start < end; start += 11) {
      // What was asked for and not yet read, as each position is read.
      Rows asked;
      add(blocks_at_start(order, start, end), asked);
      std::multiset<int64_t> there(asked.begin(), asked.end());
      for (int64_t p = start; p < end; ++p) {
        const auto found = there.find(row_at(order, p));
        ASSERT_NE(found, there.end()) << name_of(order) << ", position " << p << " from " << start;
        there.erase(found);
        asked.clear();
        add(blocks_ahead(order, p, p + 1, end), asked);
        there.insert(asked.begin(), asked.end());
      }
    }
  }
}

TEST(Order, NothingIsAskedForWhereRowsAreReadOneByOneOrAfterTheEnd) {
  EXPECT_TRUE(blocks_at_start({100, 1}, 0, 100).empty());
  EXPECT_TRUE(blocks_ahead({100, 1}, 0, 100, 1000).empty());
  const DataOrder one_window{100, 1, 10, 10};
  EXPECT_EQ(blocks_at_start(one_window, 0, 100).size(), 10u);
  EXPECT_TRUE(blocks_ahead(one_window, 0, 100, 100).empty());
  EXPECT_EQ(blocks_ahead(one_window, 0, 100, 101).size(), 10u) << "of the next epoch";
  EXPECT_TRUE(blocks_at_start(one_window, 100, 100).empty());
}

}  // namespace
}  // namespace saemill
