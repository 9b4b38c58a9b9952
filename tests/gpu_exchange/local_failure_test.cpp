// Threads of one GPU that stay away, stop or disagree.
#include <gtest/gtest.h>

#include <thread>

#include "buffer.h"

namespace saemill {
namespace {

constexpr double kDeadline = 0.4;

Setting setting() {
  return {.transport = {false, 3}, .deadline = kDeadline};
}

void gather_once(Rank& rank, int64_t rows = 4) {
  Buffer buffer(DType::f32, 5, bounds_of({rows}, rank.size));
  buffer.write(rank.rank, rank.compute);
  rank.exchange.gather({buffer.gathered()});
  rank.exchange.fence();
  rank.compute.synchronize_within(20, "the test");
}

TEST(LocalGpuFailures, ALateRankIsNamed) {
  const auto outcomes = on_ranks(setting(), [](Rank& rank) {
    gather_once(rank);
    // When it comes, the others have gone.
    if (rank.rank == 1) std::this_thread::sleep_for(std::chrono::duration<double>(2 * kDeadline));
    gather_once(rank);
  });
  for (const Outcome& outcome : outcomes)
    expect_error(outcome, ErrorCode::retry, {"rank 1 did not reach gather", "within 0.4 s"});
}

TEST(LocalGpuFailures, AnAbortReachesAll) {
  Setting long_run = setting();
  long_run.deadline = 20;
  const auto outcomes = on_ranks(long_run, [](Rank& rank) {
    if (rank.rank == 1) {
      rank.group.abort("rank 1 lost its data");
      return;
    }
    for (;;) gather_once(rank);
  });
  EXPECT_EQ(outcomes[1].message, "");
  for (const size_t r : {0u, 2u}) expect_error(outcomes[r], ErrorCode::retry, {"rank 1 lost its data"});
}

TEST(LocalGpuFailures, CheckSeesAnAbort) {
  for (const Outcome& outcome : on_ranks(setting(), [](Rank& rank) {
         gather_once(rank);
         rank.host.barrier();
         if (rank.rank == 0) rank.group.abort("the end");
         rank.host.barrier();
         rank.exchange.check();
       }))
    expect_error(outcome, ErrorCode::retry, {"the end"});
}

TEST(LocalGpuFailures, DifferentCallsAreNamed) {
  for (const Outcome& outcome :
       on_ranks(setting(), [](Rank& rank) { gather_once(rank, rank.rank == 2 ? 5 : 4); }))
    expect_error(outcome, ErrorCode::internal, {"rank 0 gather 0:80:160:240, rank 2 gather 0:100:200:300"});
}

}  // namespace
}  // namespace saemill
