// Mistakes that the tests of exchange_test.cpp would have to find: each shows in one of the schedules.
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "buffer.h"
#include "gpu_emulation_control.h"

namespace saemill {
namespace {

class PlantedMistakes : public testing::TestWithParam<bool> {
 protected:
  void TearDown() override { use_schedule(schedules()[0]); }

  // In how many schedules a rank saw wrong bytes.
  int found(const std::function<size_t(Rank&)>& wrong_bytes) {
    int count = 0;
    for (const std::string& schedule : schedules()) {
      use_schedule(schedule);
      std::atomic<size_t> wrong = 0;
      expect_no_errors(on_ranks({.transport = {GetParam(), 3}, .piece_bytes = 100},
                                [&](Rank& rank) { wrong += wrong_bytes(rank); }));
      count += wrong > 0 ? 1 : 0;
    }
    return count;
  }
};

size_t read_after(Rank& rank, int64_t awaited, int64_t read) {
  Buffer buffer(DType::f32, 5, bounds_of({10}, rank.size));  // pieces of five rows
  buffer.write(rank.rank, rank.compute);
  rank.exchange.gather_in_pieces({buffer.gathered()});
  rank.exchange.await(awaited);
  buffer.read(0, read, rank.compute);
  rank.exchange.await_all();
  buffer.read(read, buffer.view().rows, rank.compute);
  rank.compute.synchronize_within(20, "the test");
  rank.exchange.fence();
  return buffer.wrong();
}

TEST_P(PlantedMistakes, ReadingBeforeAwaiting) {
  EXPECT_GT(found([](Rank& rank) { return read_after(rank, 0, 1); }), 0);
}

TEST_P(PlantedMistakes, ReadingOneRowTooFar) {
  EXPECT_EQ(found([](Rank& rank) { return read_after(rank, 12, 15); }), 0);
  EXPECT_GT(found([](Rank& rank) { return read_after(rank, 12, 16); }), 0);
}

// Only where ranks read each other's memory.
TEST_P(PlantedMistakes, OverwritingWithoutAFence) {
  const auto rounds = [](bool fenced) {
    return [fenced](Rank& rank) {
      Buffer buffer(DType::f32, 5, bounds_of({10}, rank.size));
      for (int round = 0; round < 4; ++round) {
        buffer.write(rank.rank, rank.compute);
        rank.exchange.gather({buffer.gathered()});
        buffer.read(rank.compute);
        if (fenced) rank.exchange.fence();
      }
      rank.compute.synchronize_within(20, "the test");
      rank.exchange.finish();
      rank.host.barrier();  // nobody frees what another still reads
      return buffer.wrong();
    };
  };
  EXPECT_EQ(found(rounds(true)), 0);
  const bool nccl = GetParam();
  if (nccl) {
    EXPECT_EQ(found(rounds(false)), 0);
  } else {
    EXPECT_GT(found(rounds(false)), 0);
  }
}

void long_steps(Rank& rank) {
  for (int i = 0; i < 100; ++i)
    gpu::emulation::enqueue(rank.compute, "a long step",
                            [] { std::this_thread::sleep_for(std::chrono::milliseconds(6)); });
}

// A step may be long, and the host may be steps ahead: a deadline is for what the device has begun.
TEST(Deadlines, DoNotCountWorkBefore) {
  for (const bool nccl : {false, true})
    expect_no_errors(on_ranks({.transport = {nccl, 1}, .deadline = 0.4}, [](Rank& rank) {
      Buffer buffer(DType::f32, 5, bounds_of({10}, rank.size));
      buffer.write(rank.rank, rank.compute);
      long_steps(rank);
      rank.exchange.gather({buffer.gathered()});
      gpu::Event read;
      read.record(rank.compute);
      while (!read.done()) rank.exchange.check();
      rank.exchange.finish();
      rank.exchange.fence();
      rank.compute.synchronize_within(20, "the test");
    }));
}

// Who finishes has no further steps in mind.
TEST(Deadlines, OfFinishingCountsAllWork) {
  for (const bool nccl : {false, true}) {
    const auto outcomes = on_ranks({.transport = {nccl, 1}, .deadline = 0.3}, [](Rank& rank) {
      Buffer buffer(DType::f32, 5, bounds_of({10}, rank.size));
      buffer.write(rank.rank, rank.compute);
      long_steps(rank);
      rank.exchange.gather({buffer.gathered()});
      rank.exchange.finish();
    });
    expect_error(outcomes[0], ErrorCode::retry, {"rank 0: gather has not finished after 0.3 s"});
  }
}

INSTANTIATE_TEST_SUITE_P(Transports, PlantedMistakes, testing::Bool(),
                         [](const auto& test) { return test.param ? "nccl" : "local_gpu"; });

}  // namespace
}  // namespace saemill
