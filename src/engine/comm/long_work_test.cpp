// Ranks that are at LongWork are waited for past the deadline, and no others. With ranks as threads of this
// process; as processes that are killed or stopped: shm_process_test.cpp.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <chrono>
#include <functional>
#include <thread>
#include <vector>

#include "common/base/clock.h"
#include "common/base/error.h"
#include "engine/comm/communicator.h"

namespace saemill {
namespace {

struct Outcome {
  std::string message;  // "" for no error
  double seconds = 0;
};

std::vector<Outcome> on_ranks(int size, double deadline, const std::function<void(Communicator&)>& body) {
  const int fd = ::memfd_create("saemill-test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  std::vector<Outcome> outcomes(static_cast<size_t>(size));
  std::vector<std::thread> threads;
  for (int r = 0; r < size; ++r)
    threads.emplace_back([&, r] {
      Outcome& outcome = outcomes[static_cast<size_t>(r)];
      const double start = monotonic_seconds();
      try {
        body(*make_shm_communicator({fd, r, size, deadline}));
      } catch (const Error& error) {
        outcome.message = error.what();
      }
      outcome.seconds = monotonic_seconds() - start;
    });
  for (auto& thread : threads) thread.join();
  ::close(fd);
  return outcomes;
}

void sleep_for(int milliseconds) {
  std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
}

TEST(LongWork, IsWaitedForPastTheDeadline) {
  const auto outcomes = on_ranks(3, 0.4, [](Communicator& comm) {
    comm.barrier();
    if (comm.rank() == 0) {
      const LongWork outer(comm);
      {
        const LongWork inner(comm);
        sleep_for(400);
      }
      sleep_for(600);
    }
    comm.barrier();
  });
  for (const Outcome& outcome : outcomes) EXPECT_EQ(outcome.message, "");
}

TEST(LongWork, TheDeadlineBeginsAtItsEnd) {
  const auto outcomes = on_ranks(2, 0.4, [](Communicator& comm) {
    comm.barrier();
    if (comm.rank() == 0) return comm.barrier();
    {
      const LongWork work(comm);
      sleep_for(800);
    }
    sleep_for(1500);
    comm.barrier();
  });
  EXPECT_TRUE(outcomes[0].message.starts_with("rank 1 did not reach barrier #2 within 0.4 s"))
      << outcomes[0].message;
  EXPECT_GT(outcomes[0].seconds, 1.1);  // it looks every 50 ms
  EXPECT_LT(outcomes[0].seconds, 2.2);
}

TEST(LongWork, AnotherRankIsLateAllTheSame) {
  const auto outcomes = on_ranks(3, 0.4, [](Communicator& comm) {
    comm.barrier();
    if (comm.rank() == 2) return;
    if (comm.rank() == 1) {
      const LongWork work(comm);
      sleep_for(1500);
    }
    comm.barrier();
  });
  EXPECT_TRUE(outcomes[0].message.starts_with("rank 2 did not reach barrier #2 within 0.4 s"))
      << outcomes[0].message;
  EXPECT_EQ(outcomes[0].message.find("rank 1"), std::string::npos) << outcomes[0].message;
  EXPECT_LT(outcomes[0].seconds, 1.3);
}

}  // namespace
}  // namespace saemill
