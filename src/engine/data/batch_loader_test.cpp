// The loader's threads: the same batches, the same errors, and none left behind.
#include "engine/data/batch_loader.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <mutex>
#include <set>
#include <thread>

#include "common/base/error.h"
#include "engine/data/order.h"

namespace saemill {
namespace {

constexpr int64_t kWidth = 16384;  // four rows are a task

// Row r holds r. Bad rows throw their number; a slow one takes longer than all others together.
class Rows final : public ActivationSet {
 public:
  Rows(int64_t rows, int readers) : rows_(rows), readers_(readers) {}
  int64_t rows() const override { return rows_; }
  int64_t d_in() const override { return kWidth; }
  int readers() const override { return readers_; }
  int64_t files() const override { return 0; }
  int64_t bytes() const override { return 0; }
  std::string dtype() const override { return "F32"; }
  std::string tensor() const override { return ""; }
  const std::map<std::string, std::string>& metadata() const override { return metadata_; }
  void read(int64_t row, float scale, std::span<float> out) const override {
    ++reads;
    if (row == slow) std::this_thread::sleep_for(std::chrono::milliseconds(100));
    if (bad.contains(row)) fail(ErrorCode::bad_data, "row {} is bad", row);
    std::fill(out.begin(), out.end(), scale * static_cast<float>(row));
  }

  void expect(int64_t first, int64_t last) const override {
    const std::lock_guard lock(mutex);
    for (int64_t row = first; row < last; ++row) expected.insert(row);
  }

  std::set<int64_t> bad;
  int64_t slow = -1;
  mutable std::atomic<int64_t> reads{0};
  mutable std::mutex mutex;
  mutable std::multiset<int64_t> expected;

 private:
  const int64_t rows_;
  const int readers_;
  std::map<std::string, std::string> metadata_;
};

int64_t threads_now() {
  int64_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/task")) ++count;
  return count;
}

// A thread that has been joined may be seen for a moment longer.
bool threads_become(int64_t count) {
  for (int i = 0; i < 1000 && threads_now() != count; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  return threads_now() == count;
}

// Thirty rows a batch are eight tasks; two spans of two slots.
struct Memory {
  static constexpr int64_t kBatch = 30;
  std::vector<float> values = std::vector<float>(4 * kBatch * kWidth);
  std::vector<std::span<float>> halves() {
    return {std::span(values).first(values.size() / 2), std::span(values).last(values.size() / 2)};
  }
  BatchLoaderOptions options(int64_t steps) const { return {{1000, 9}, kBatch, 0, kBatch, 0, steps, 0.5f}; }
};

class Loader : public testing::TestWithParam<int> {};

TEST_P(Loader, BatchesAreThoseOfOneThread) {
  const auto set = std::make_shared<Rows>(1000, GetParam());
  Memory memory;
  BatchLoader loader(set, memory.options(50), memory.halves());
  std::set<const float*> slots;
  for (int64_t step = 0; step < 50; ++step) {
    const auto batch = loader.next();
    slots.insert(batch.data());
    ASSERT_EQ(batch.size(), static_cast<size_t>(Memory::kBatch * kWidth));
    for (int64_t r = 0; r < Memory::kBatch; ++r)
      for (const int64_t column : {int64_t{0}, kWidth - 1})
        ASSERT_EQ(batch[static_cast<size_t>(r * kWidth + column)],
                  0.5f * static_cast<float>(row_at({1000, 9}, step * Memory::kBatch + r)));
  }
  EXPECT_EQ(slots.size(), 4u);
  EXPECT_THROW(loader.next(), Error);
}

// Two ranks ask for every block of three epochs once, and one that goes on from step 40 for what is left.
TEST_P(Loader, BlocksAreExpectedAheadOfTheirRows) {
  const DataOrder order{1000, 9, 7, 20};
  const auto read = [&](const std::shared_ptr<Rows>& set, int64_t first, int64_t last, int64_t first_step) {
    Memory memory;
    BatchLoader loader(set, {order, Memory::kBatch, first, last, first_step, 100, 1}, memory.halves());
    for (int64_t step = first_step; step < 100; ++step) {
      const auto batch = loader.next();
      for (int64_t r = first; r < last; ++r)
        ASSERT_EQ(batch[static_cast<size_t>((r - first) * kWidth)],
                  static_cast<float>(row_at(order, step * Memory::kBatch + r)));
    }
  };
  const auto whole = std::make_shared<Rows>(1000, GetParam());
  read(whole, 0, 12, 0);
  read(whole, 12, Memory::kBatch, 0);
  std::multiset<int64_t> all;
  for (int64_t position = 0; position < 3000; ++position) all.insert(row_at(order, position));
  EXPECT_EQ(whole->expected, all);
  const auto rest = std::make_shared<Rows>(1000, GetParam());
  read(rest, 0, Memory::kBatch, 40);
  for (int64_t position = 40 * Memory::kBatch; position < 3000; ++position) {
    const auto found = rest->expected.find(row_at(order, position));
    ASSERT_NE(found, rest->expected.end()) << position;
    rest->expected.erase(found);
  }
  EXPECT_LT(rest->expected.size(), 150u) << "what its window had before";
}

// However late its thread is: the row of the lowest position, after all batches before its own.
TEST_P(Loader, TheFirstBadRowIsTold) {
  for (const int64_t first : {0, 61, 75, 89}) {
    const auto set = std::make_shared<Rows>(1000, GetParam());
    const auto row_of = [](int64_t position) { return row_at({1000, 9}, position); };
    set->slow = row_of(first);
    for (const int64_t position : {first, first + 1, first + 5, first + 40})
      set->bad.insert(row_of(position));
    Memory memory;
    BatchLoader loader(set, memory.options(50), memory.halves());
    for (int64_t step = 0; step < first / Memory::kBatch; ++step) loader.next();
    for (int again = 0; again < 2; ++again) try {
        loader.next();
        FAIL() << "no error";
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::bad_data);
        EXPECT_EQ(std::string(error.what()), fmt::format("row {} is bad", set->slow));
      }
  }
}

// Nothing is read on beyond the tasks that run, and no thread outlives the loader.
TEST_P(Loader, EndsAtOnceWhereverItIs) {
  // With the first thread comes one of a sanitizer's own.
  std::thread([] {}).join();
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  const int64_t before = threads_now();
  for (const int64_t steps_taken : {0, 1, 3}) {
    const auto set = std::make_shared<Rows>(1000, GetParam());
    set->slow = row_at({1000, 9}, steps_taken * Memory::kBatch);
    Memory memory;
    {
      BatchLoader loader(set, memory.options(1'000'000'000), memory.halves());
      for (int64_t step = 0; step < steps_taken; ++step) loader.next();
      EXPECT_TRUE(threads_become(before + GetParam())) << threads_now() << " threads, before: " << before;
    }
    EXPECT_TRUE(threads_become(before)) << threads_now() << " threads, before: " << before;
    EXPECT_LE(set->reads, (steps_taken + 4) * Memory::kBatch);
  }
}

TEST_P(Loader, ARankWithoutRowsHasEmptyBatches) {
  const auto set = std::make_shared<Rows>(10, GetParam());
  std::vector<float> none;
  BatchLoader loader(set, {{10}, 30, 30, 30, 0, 20, 1}, {std::span(none), std::span(none)});
  for (int step = 0; step < 20; ++step) EXPECT_TRUE(loader.next().empty());
  EXPECT_EQ(set->reads, 0);
}

INSTANTIATE_TEST_SUITE_P(Threads, Loader, testing::Values(1, 2, 3, 8));

TEST(LoaderThreads, FollowTheDeviceAndTheCores) {
  EXPECT_EQ(loader_threads(false, 64), 1);
  EXPECT_EQ(loader_threads(true, 1), 1);
  EXPECT_EQ(loader_threads(true, 3), 1);
  EXPECT_EQ(loader_threads(true, 8), 6);
  EXPECT_EQ(loader_threads(true, 16), 8);
}

TEST(LoaderSlots, AreTwoOrMore) {
  std::vector<float> memory(3 * kWidth);
  const auto set = std::make_shared<Rows>(10, 1);
  EXPECT_THROW(BatchLoader(set, {0, 2, 0, 2, 0, 1, 1}, {std::span(memory)}), Error);
}

}  // namespace
}  // namespace saemill
