// One table for every communicator, with ranks as threads; and what happens when ranks disagree, stop or die,
// with ranks as processes.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <thread>
#include <vector>

#include "common/base/clock.h"
#include "common/base/error.h"
#include "engine/comm/communicator.h"

namespace saemill {
namespace {

// Runs the body on every rank; size 0 stands for the self communicator. Returns each rank's error, "" for
// none.
std::vector<std::string> on_ranks(int size, const std::function<void(Communicator&)>& body,
                                  double deadline = 20) {
  const int ranks = size == 0 ? 1 : size;
  const int fd = ::memfd_create("saemill-test", MFD_CLOEXEC);
  std::vector<std::string> errors(static_cast<size_t>(ranks));
  std::vector<std::thread> threads;
  for (int r = 0; r < ranks; ++r)
    threads.emplace_back([&, r] {
      try {
        const auto comm =
            size == 0 ? make_self_communicator() : make_shm_communicator({fd, r, ranks, deadline});
        body(*comm);
      } catch (const std::exception& error) {
        errors[static_cast<size_t>(r)] = error.what();
      }
    });
  for (auto& thread : threads) thread.join();
  ::close(fd);
  return errors;
}

void expect_none(const std::vector<std::string>& errors) {
  for (const auto& error : errors) EXPECT_EQ(error, "");
}

class Conformance : public testing::TestWithParam<int> {};

TEST_P(Conformance, AllGatherRagged) {
  for (const bool arena : {true, false})
    expect_none(on_ranks(GetParam(), [&](Communicator& comm) {
      std::vector<size_t> bounds{0};
      for (int r = 0; r < comm.size(); ++r)
        bounds.push_back(bounds.back() + static_cast<size_t>(r == 1 ? 0 : 5'000'000 * (r % 2) + 7));
      std::vector<std::byte> own(bounds.back());
      std::byte* buffer = arena ? comm.allocate(bounds.back()) : own.data();
      const auto me = static_cast<size_t>(comm.rank());
      for (size_t i = bounds[me]; i < bounds[me + 1]; ++i) buffer[i] = static_cast<std::byte>(i % 251);
      comm.all_gather(buffer, bounds);
      for (size_t i = 0; i < bounds.back(); ++i) ASSERT_EQ(buffer[i], static_cast<std::byte>(i % 251));
      comm.barrier();
    }));
}

TEST_P(Conformance, AllReduceAddsInRankOrder) {
  expect_none(on_ranks(GetParam(), [](Communicator& comm) {
    const auto term = [](int r, size_t i) { return 1.0 / (3.0 + r) + static_cast<double>(i) * 1e-3; };
    std::vector<double> values(1000), low(1), high(1);
    for (size_t i = 0; i < values.size(); ++i) values[i] = term(comm.rank(), i);
    low[0] = high[0] = comm.rank();
    comm.all_reduce(std::span<double>(values), Reduce::sum);
    comm.all_reduce(std::span<double>(low), Reduce::min);
    comm.all_reduce(std::span<double>(high), Reduce::max);
    for (size_t i = 0; i < values.size(); ++i) {
      double want = term(0, i);
      for (int r = 1; r < comm.size(); ++r) want += term(r, i);
      ASSERT_EQ(values[i], want);
    }
    ASSERT_EQ(low[0], 0);
    ASSERT_EQ(high[0], comm.size() - 1);
  }));
}

TEST_P(Conformance, ScatterExchangeBroadcast) {
  expect_none(on_ranks(GetParam(), [](Communicator& comm) {
    const auto ranks = static_cast<size_t>(comm.size()), me = static_cast<size_t>(comm.rank());
    std::vector<size_t> bounds{0};
    for (size_t r = 0; r < ranks; ++r) bounds.push_back(bounds.back() + r + 1);
    std::vector<float> values(bounds.back(), 1.5f), mine(me + 1);
    comm.reduce_scatter(values, bounds, mine);
    for (const float value : mine) ASSERT_EQ(value, 1.5f * static_cast<float>(ranks));
    std::vector<uint64_t> send(ranks), receive(ranks);
    for (size_t r = 0; r < ranks; ++r) send[r] = 100 * me + r;
    comm.all_to_all(reinterpret_cast<std::byte*>(send.data()), reinterpret_cast<std::byte*>(receive.data()),
                    8);
    for (size_t r = 0; r < ranks; ++r) ASSERT_EQ(receive[r], 100 * r + me);
    std::vector<uint8_t> big(9'000'000, me == 0 ? uint8_t{7} : uint8_t{0});
    comm.broadcast(reinterpret_cast<std::byte*>(big.data()), big.size(), 0);
    ASSERT_EQ(std::count(big.begin(), big.end(), uint8_t{7}), static_cast<std::ptrdiff_t>(big.size()));
  }));
}

INSTANTIATE_TEST_SUITE_P(Communicators, Conformance, testing::Values(0, 1, 2, 3, 4), [](const auto& p) {
  return p.param == 0 ? std::string("self") : "shm" + std::to_string(p.param);
});

TEST(ShmFailure, ArenaIsSharedAndZeroed) {
  expect_none(on_ranks(3, [](Communicator& comm) {
    std::byte* memory = comm.allocate(1000);
    for (int i = 0; i < 1000; ++i) ASSERT_EQ(memory[i], std::byte{0});
    comm.barrier();
    memory[comm.rank()] = std::byte{9};
    comm.barrier();
    for (int r = 0; r < 3; ++r) ASSERT_EQ(memory[r], std::byte{9});
  }));
}

TEST(ShmFailure, DifferentCallsAreNamed) {
  const auto errors = on_ranks(2, [](Communicator& comm) {
    if (comm.rank() == 0) return comm.barrier();
    std::vector<double> one(1);
    comm.all_reduce(std::span<double>(one), Reduce::sum);
  });
  for (const auto& error : errors) {
    EXPECT_NE(error.find("barrier"), std::string::npos) << error;
    EXPECT_NE(error.find("all_reduce"), std::string::npos) << error;
  }
}

TEST(ShmFailure, LateRankIsNamedAtTheDeadline) {
  const auto errors = on_ranks(
      3,
      [](Communicator& comm) {
        if (comm.rank() == 2) return;
        comm.barrier();
      },
      0.5);
  EXPECT_NE(errors[0].find("rank 2 did not reach barrier"), std::string::npos) << errors[0];
  EXPECT_NE(errors[1].find("rank 2 did not reach barrier"), std::string::npos) << errors[1];
}

TEST(ShmFailure, AbortWakesEverybody) {
  const double start = monotonic_seconds();
  const auto errors = on_ranks(3, [](Communicator& comm) {
    if (comm.rank() == 1) return comm.abort("rank 1 has had enough");
    comm.barrier();
  });
  EXPECT_EQ(errors[0], "rank 1 has had enough");
  EXPECT_EQ(errors[2], "rank 1 has had enough");
  EXPECT_LT(monotonic_seconds() - start, 5);
}

// A peer that gets `signal` in the middle; what rank 0 then says.
std::string error_after(int signal) {
  const int fd = ::memfd_create("saemill-test", 0);
  const pid_t peer = ::fork();
  if (peer == 0) {
    try {
      const auto comm = make_shm_communicator({fd, 1, 2, 30});
      for (;;) comm->barrier();
    } catch (const std::exception&) {
    }
    ::_exit(0);
  }
  std::string message;
  try {
    const auto comm = make_shm_communicator({fd, 0, 2, 1.0});
    comm->barrier();
    ::kill(peer, signal);
    for (;;) comm->barrier();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::retry);
    message = error.what();
  }
  ::kill(peer, SIGKILL);
  ::waitpid(peer, nullptr, 0);
  ::close(fd);
  return message;
}

TEST(ShmProcess, KilledPeerIsNamed) {
  const std::string message = error_after(SIGKILL);
  EXPECT_NE(message.find("rank 1"), std::string::npos) << message;
  EXPECT_NE(message.find("is gone"), std::string::npos) << message;
}

TEST(ShmProcess, StoppedPeerIsNamed) {
  const std::string message = error_after(SIGSTOP);
  EXPECT_NE(message.find("rank 1 did not reach barrier"), std::string::npos) << message;
  EXPECT_NE(message.find("state T"), std::string::npos) << message;
}

}  // namespace
}  // namespace saemill
