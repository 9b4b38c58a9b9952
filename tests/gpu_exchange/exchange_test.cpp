// What every exchange between GPUs promises, over all transports and, in the emulation, several schedules.
#include <gtest/gtest.h>

#include "buffer.h"

namespace saemill {
namespace {

class Exchanges : public testing::TestWithParam<Transport> {
 protected:
  void SetUp() override {
    const std::string reason = why_not(GetParam());
    if (!reason.empty()) GTEST_SKIP() << reason;
  }
  void TearDown() override { use_schedule(schedules()[0]); }

  void on_all_schedules(const std::function<void(Rank&)>& body, int64_t piece_bytes = 1 << 20) {
    for (const std::string& schedule : schedules()) {
      SCOPED_TRACE(schedule);
      use_schedule(schedule);
      expect_no_errors(on_ranks({.transport = GetParam(), .piece_bytes = piece_bytes}, body));
    }
  }
};

// Equal shares, unequal ones, empty ones.
const std::vector<std::vector<int64_t>> kShares = {{4}, {5, 2, 7, 1}, {3, 0, 6, 0}, {0, 0, 0, 9}, {0}};

// After the fence nobody reads the buffers any more, so they may be freed.
void expect_right(Rank& rank, const std::deque<Buffer>& buffers) {
  rank.exchange.fence();
  rank.compute.synchronize_within(20, "the test");
  for (const Buffer& buffer : buffers)
    EXPECT_EQ(buffer.wrong(), 0u) << dtype_name(buffer.view().dtype) << " on rank " << rank.rank;
}

// The host waits for nothing between the rounds.
TEST_P(Exchanges, GatherGivesAllRowsToAll) {
  on_all_schedules([](Rank& rank) {
    for (const auto& counts : kShares) {
      std::deque<Buffer> buffers = buffers_of(bounds_of(counts, rank.size));
      for (int round = 0; round < 4; ++round) {
        for (Buffer& buffer : buffers) buffer.write(rank.rank, rank.compute);
        rank.exchange.gather(gathered(buffers));
        rank.exchange.check();
        for (Buffer& buffer : buffers) buffer.read(rank.compute);
        rank.exchange.fence();
      }
      expect_right(rank, buffers);
      rank.exchange.finish();
    }
  });
}

TEST_P(Exchanges, BuffersMayHaveDifferentRows) {
  on_all_schedules([](Rank& rank) {
    std::deque<Buffer> buffers;
    for (const auto& counts : kShares) buffers.emplace_back(DType::f32, 5, bounds_of(counts, rank.size));
    for (Buffer& buffer : buffers) buffer.write(rank.rank, rank.compute);
    rank.exchange.gather(gathered(buffers));
    for (Buffer& buffer : buffers) buffer.read(rank.compute);
    expect_right(rank, buffers);
  });
}

void read_by_pieces(Rank& rank, const std::vector<int64_t>& counts, int64_t step) {
  std::deque<Buffer> buffers = buffers_of(bounds_of(counts, rank.size));
  const int64_t rows = buffers[0].view().rows;
  for (int round = 0; round < 3; ++round) {
    for (Buffer& buffer : buffers) buffer.write(rank.rank, rank.compute);
    rank.exchange.gather_in_pieces(gathered(buffers));
    for (int64_t first = 0; first < rows; first += step) {
      const int64_t end = std::min(rows, first + step);
      rank.exchange.await(end);
      for (Buffer& buffer : buffers) buffer.read(first, end, rank.compute);
    }
    rank.exchange.await_all();
    rank.exchange.check();
    rank.exchange.fence();
  }
  expect_right(rank, buffers);
}

TEST_P(Exchanges, AwaitedRowsAreThere) {
  for (const int64_t piece_bytes : {1, 100, 400, 1 << 20})
    on_all_schedules(
        [](Rank& rank) {
          for (const auto& counts : kShares) read_by_pieces(rank, counts, 2);
        },
        piece_bytes);
}

TEST_P(Exchanges, BroadcastComesFromItsRoot) {
  on_all_schedules([](Rank& rank) {
    std::deque<Buffer> buffers;
    for (int root = 0; root < rank.size; ++root) {
      std::vector<int64_t> bounds(static_cast<size_t>(rank.size) + 1, 0);
      std::fill(bounds.begin() + root + 1, bounds.end(), 6);
      Buffer& buffer = buffers.emplace_back(DType::f32, 7, bounds);
      buffer.write(rank.rank, rank.compute);
      rank.exchange.broadcast(buffer.view(), root);
      buffer.read(rank.compute);
    }
    rank.exchange.broadcast(View{}, 0);
    expect_right(rank, buffers);
  });
}

TEST_P(Exchanges, CostsAreCounted) {
  expect_no_errors(on_ranks({.transport = GetParam(), .piece_bytes = 200}, [](Rank& rank) {
    Buffer buffer(DType::f32, 10, bounds_of({6}, rank.size));
    buffer.write(rank.rank, rank.compute);
    rank.exchange.gather({buffer.gathered()});
    rank.exchange.fence();
    rank.exchange.gather_in_pieces({buffer.gathered()});
    rank.exchange.await(1);
    rank.exchange.await_all();
    const ExchangeCost cost = rank.exchange.take_cost();
    EXPECT_EQ(cost.bytes_received, 2 * (rank.size - 1) * 240);
    EXPECT_GT(cost.busy_ms, 0);
    EXPECT_GE(cost.exposed_ms, 0);
    EXPECT_LE(cost.exposed_ms, cost.busy_ms);
    EXPECT_EQ(rank.exchange.take_cost().bytes_received, 0);
    EXPECT_EQ(rank.exchange.take_cost().busy_ms, 0);
    rank.exchange.fence();
  }));
}

TEST_P(Exchanges, WrongUseIsFound) {
  expect_no_errors(on_ranks({.transport = GetParam()}, [](Rank& rank) {
    Buffer buffer(DType::f32, 10, bounds_of({6}, rank.size));
    Gathered wrong = buffer.gathered();
    wrong.bounds.pop_back();
    EXPECT_THROW(rank.exchange.gather({wrong}), Error);
    wrong.bounds.push_back(buffer.view().rows + 1);
    EXPECT_THROW(rank.exchange.gather({wrong}), Error);
    rank.exchange.gather_in_pieces({buffer.gathered()});
    EXPECT_THROW(rank.exchange.gather({buffer.gathered()}), Error);
    EXPECT_THROW(rank.exchange.fence(), Error);
    EXPECT_THROW(rank.exchange.await(buffer.view().rows + 1), Error);
    rank.exchange.await_all();
    rank.exchange.finish();
    rank.exchange.fence();
    rank.compute.synchronize_within(20, "the test");
  }));
}

INSTANTIATE_TEST_SUITE_P(Transports, Exchanges, testing::ValuesIn(transports()), [](const auto& test) {
  return (test.param.nccl ? "nccl_" : "local_gpu_") + std::to_string(test.param.ranks);
});

}  // namespace
}  // namespace saemill
