// One table for every communicator, with ranks as threads of this process; and what the ranks are told when
// they disagree, stay away or are stopped. With ranks as processes: shm_process_test.cpp.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <optional>
#include <thread>
#include <vector>

#include "common/base/clock.h"
#include "common/base/error.h"
#include "common/base/random.h"
#include "engine/comm/communicator.h"

namespace saemill {
namespace {

struct Outcome {
  std::string message;  // "" for no error
  std::optional<ErrorCode> code;
  double seconds = 0;
};

// Runs the body on every rank; size 0 stands for the self communicator.
std::vector<Outcome> on_ranks(int size, const std::function<void(Communicator&)>& body,
                              double deadline = 60) {
  const int ranks = size == 0 ? 1 : size;
  const int fd = ::memfd_create("saemill-test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  std::vector<Outcome> outcomes(static_cast<size_t>(ranks));
  std::vector<std::thread> threads;
  for (int r = 0; r < ranks; ++r)
    threads.emplace_back([&, r] {
      Outcome& outcome = outcomes[static_cast<size_t>(r)];
      const double start = monotonic_seconds();
      try {
        const auto comm =
            size == 0 ? make_self_communicator()
                      : make_shm_communicator(
                            {.memory_fd = fd, .rank = r, .size = ranks, .deadline_seconds = deadline});
        body(*comm);
      } catch (const Error& error) {
        outcome.message = error.what();
        outcome.code = error.code();
      } catch (const std::exception& error) {
        outcome.message = error.what();
      }
      outcome.seconds = monotonic_seconds() - start;
    });
  for (auto& thread : threads) thread.join();
  ::close(fd);
  return outcomes;
}

void expect_no_errors(const std::vector<Outcome>& outcomes) {
  for (const auto& outcome : outcomes) EXPECT_EQ(outcome.message, "");
}

void expect_error(const Outcome& outcome, ErrorCode code, const std::vector<std::string>& parts) {
  EXPECT_EQ(outcome.code, code) << outcome.message;
  for (const auto& part : parts)
    EXPECT_NE(outcome.message.find(part), std::string::npos) << "no '" << part << "' in: " << outcome.message;
}

std::vector<size_t> bounds_of(const std::vector<size_t>& counts, int ranks) {
  std::vector<size_t> bounds{0};
  for (size_t r = 0; r < static_cast<size_t>(ranks); ++r)
    bounds.push_back(bounds.back() + counts[r % counts.size()]);
  return bounds;
}

// The values differ by many orders of magnitude, so that the order of a sum shows in its bits.
template <typename T>
T term(int rank, size_t i) {
  const auto stream = static_cast<uint64_t>(rank);
  return static_cast<T>(random_normal(3, stream, i) * std::pow(10.0, static_cast<double>((i + stream) % 7)));
}

template <typename T>
T sum_in_rank_order(int ranks, size_t i) {
  T sum = term<T>(0, i);
  for (int r = 1; r < ranks; ++r) sum += term<T>(r, i);
  return sum;
}

template <typename T>
void check_sums(Communicator& comm, size_t count) {
  std::vector<T> values(count);
  for (size_t i = 0; i < count; ++i) values[i] = term<T>(comm.rank(), i);
  comm.all_reduce(std::span<T>(values), Reduce::sum);
  size_t wrong = 0;
  for (size_t i = 0; i < count; ++i) wrong += values[i] != sum_in_rank_order<T>(comm.size(), i) ? 1 : 0;
  EXPECT_EQ(wrong, 0U) << count << " values on " << comm.size() << " ranks";
}

// 0: self; n: shm with n ranks.
class Conformance : public testing::TestWithParam<int> {};

// Ragged parts, empty ones among them; the large ones take several passes through the scratch area.
const std::vector<std::vector<size_t>> kRagged = {
    {7, 0, 5}, {0}, {0, 0, 9}, {64, 64}, {5'000'011, 0, 3, 2'200'000}};

TEST_P(Conformance, AllGatherFillsInEveryPart) {
  for (const bool arena : {true, false})
    expect_no_errors(on_ranks(GetParam(), [&](Communicator& comm) {
      for (const auto& counts : kRagged) {
        const auto bounds = bounds_of(counts, comm.size());
        std::vector<std::byte> own(arena ? 0 : bounds.back(), std::byte{255});
        std::byte* buffer = arena ? comm.allocate(bounds.back()) : own.data();
        const auto me = static_cast<size_t>(comm.rank());
        for (size_t i = bounds[me]; i < bounds[me + 1]; ++i) buffer[i] = static_cast<std::byte>(i % 251);
        comm.all_gather(buffer, bounds);
        size_t wrong = 0;
        for (size_t i = 0; i < bounds.back(); ++i)
          wrong += buffer[i] != static_cast<std::byte>(i % 251) ? 1 : 0;
        EXPECT_EQ(wrong, 0U);
      }
    }));
}

TEST_P(Conformance, AllReduceAddsInRankOrder) {
  expect_no_errors(on_ranks(GetParam(), [](Communicator& comm) {
    for (const size_t count : {0, 1, 3, 1000, 5001, 700'001}) {
      check_sums<double>(comm, count);
      check_sums<float>(comm, count);
    }
  }));
}

TEST_P(Conformance, AllReduceFindsExtremesAndKeepsNan) {
  expect_no_errors(on_ranks(GetParam(), [](Communicator& comm) {
    for (const size_t count : {size_t{2}, size_t{40'000}}) {
      std::vector<double> low(count, comm.rank());
      std::vector<float> high(count, static_cast<float>(comm.rank()));
      if (comm.rank() == comm.size() - 1) {
        low[1] = std::numeric_limits<double>::quiet_NaN();
        high[1] = std::numeric_limits<float>::quiet_NaN();
      }
      comm.all_reduce(std::span(low), Reduce::min);
      comm.all_reduce(std::span(high), Reduce::max);
      EXPECT_EQ(low[0], 0);
      EXPECT_EQ(high[0], static_cast<float>(comm.size() - 1));
      EXPECT_TRUE(std::isnan(low[1]) && std::isnan(high[1]));
    }
  }));
}

TEST_P(Conformance, ReduceScatterGivesEachRankItsSum) {
  expect_no_errors(on_ranks(GetParam(), [](Communicator& comm) {
    for (const auto& counts : {std::vector<size_t>{3, 0, 70}, {0}, {1'300'001, 5, 0, 300'000}}) {
      const auto bounds = bounds_of(counts, comm.size());
      const auto me = static_cast<size_t>(comm.rank());
      std::vector<float> values(bounds.back()), mine(bounds[me + 1] - bounds[me]);
      for (size_t i = 0; i < values.size(); ++i) values[i] = term<float>(comm.rank(), i);
      comm.reduce_scatter(values, bounds, mine);
      size_t wrong = 0;
      for (size_t i = 0; i < mine.size(); ++i)
        wrong += mine[i] != sum_in_rank_order<float>(comm.size(), bounds[me] + i) ? 1 : 0;
      EXPECT_EQ(wrong, 0U);
    }
  }));
}

TEST_P(Conformance, AllToAllExchangesBlocks) {
  expect_no_errors(on_ranks(GetParam(), [](Communicator& comm) {
    const auto ranks = static_cast<size_t>(comm.size()), me = static_cast<size_t>(comm.rank());
    for (const size_t block : {size_t{0}, size_t{1}, size_t{100}, size_t{2'500'003}}) {
      const auto value = [&](size_t from, size_t to, size_t i) {
        return static_cast<std::byte>((100 * from + 10 * to + i) % 251);
      };
      std::vector<std::byte> send(ranks * block), receive(ranks * block);
      for (size_t i = 0; i < send.size(); ++i) send[i] = value(me, i / block, i % block);
      comm.all_to_all(send.data(), receive.data(), block);
      size_t wrong = 0;
      for (size_t i = 0; i < receive.size(); ++i)
        wrong += receive[i] != value(i / block, me, i % block) ? 1 : 0;
      EXPECT_EQ(wrong, 0U);
    }
  }));
}

TEST_P(Conformance, BroadcastFromEachRoot) {
  for (const bool arena : {true, false})
    expect_no_errors(on_ranks(GetParam(), [&](Communicator& comm) {
      for (int root = 0; root < comm.size(); ++root)
        for (const size_t bytes : {size_t{0}, size_t{8}, size_t{5'000'001}}) {
          std::vector<std::byte> own(arena ? 0 : bytes);
          std::byte* buffer = arena ? comm.allocate(bytes) : own.data();
          const auto value = static_cast<std::byte>(root + 1);
          if (comm.rank() == root && bytes > 0) std::memset(buffer, root + 1, bytes);
          comm.broadcast(buffer, bytes, root);
          size_t wrong = 0;
          for (size_t i = 0; i < bytes; ++i) wrong += buffer[i] != value ? 1 : 0;
          EXPECT_EQ(wrong, 0U);
        }
    }));
}

TEST_P(Conformance, ArenaIsZeroedAlignedAndStays) {
  expect_no_errors(on_ranks(GetParam(), [](Communicator& comm) {
    std::vector<std::byte*> pieces;
    for (const size_t bytes : {size_t{0}, size_t{1}, size_t{5000}, size_t{1} << 20}) {
      pieces.push_back(comm.allocate(bytes));
      EXPECT_EQ(reinterpret_cast<uintptr_t>(pieces.back()) % 64, 0U);
      for (size_t i = 0; i < bytes; ++i) ASSERT_EQ(pieces.back()[i], std::byte{0});
      comm.barrier();
      if (bytes > 0 && comm.rank() == 0) pieces.back()[bytes - 1] = std::byte{42};
      comm.barrier();
      if (bytes > 0 && comm.is_shared()) {
        EXPECT_EQ(pieces.back()[bytes - 1], std::byte{42});
      }
    }
    if (comm.is_shared()) {
      EXPECT_EQ(pieces[1][0], std::byte{42});
    }
  }));
}

TEST_P(Conformance, ArenaThatCannotBeTakenIsAnErrorOnEveryRank) {
  for (const auto& outcome : on_ranks(GetParam(), [](Communicator& comm) { comm.allocate(size_t{1} << 55); }))
    expect_error(outcome, ErrorCode::retry, {"36028797018963968 bytes"});
}

TEST_P(Conformance, BarriersFollowEachOther) {
  expect_no_errors(on_ranks(GetParam(), [](Communicator& comm) {
    auto* counters = reinterpret_cast<uint64_t*>(comm.allocate(64 * static_cast<size_t>(comm.size())));
    for (uint64_t round = 1; round <= 500; ++round) {
      counters[8 * comm.rank()] = round;
      comm.barrier();
      for (int r = 0; r < comm.size(); ++r) ASSERT_EQ(counters[8 * r], round);
      comm.barrier();
    }
    EXPECT_GE(comm.wait_seconds(), 0);
  }));
}

TEST_P(Conformance, AbortEndsAllCalls) {
  for (const auto& outcome : on_ranks(GetParam(), [](Communicator& comm) {
         if (comm.rank() == 0) comm.abort("enough of this");
         comm.abort("a later reason");
         EXPECT_THROW(comm.allocate(8), Error);
         comm.barrier();
       })) {
    EXPECT_EQ(outcome.code, ErrorCode::retry);
    if (GetParam() < 2) {
      EXPECT_EQ(outcome.message, "enough of this");
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Communicators, Conformance, testing::Values(0, 1, 2, 3, 4), [](const auto& p) {
  return p.param == 0 ? std::string("self") : "shm" + std::to_string(p.param);
});

TEST(ShmFailure, DifferentOperationsAreNamedOnEveryRank) {
  for (const auto& outcome : on_ranks(3, [](Communicator& comm) {
         comm.barrier();
         if (comm.rank() != 1) return comm.barrier();
         std::vector<double> one(1);
         comm.all_reduce(std::span(one), Reduce::sum);
       }))
    expect_error(outcome, ErrorCode::internal,
                 {"rank 0 calls barrier #2", "rank 1 calls all_reduce #2 of 8 bytes"});
}

TEST(ShmFailure, DifferentSizesAreNamed) {
  for (const auto& outcome : on_ranks(2, [](Communicator& comm) {
         std::vector<float> values(comm.rank() == 0 ? 2 : 3);
         comm.all_reduce(std::span(values), Reduce::sum);
       }))
    expect_error(outcome, ErrorCode::internal,
                 {"rank 0 calls all_reduce #1 of 8 bytes", "rank 1 calls all_reduce #1 of 12 bytes"});
}

TEST(ShmFailure, DifferentBoundsRootsReductionsAndPlacesAreNamed) {
  const std::vector<std::function<void(Communicator&)>> calls = {
      [](Communicator& comm) {
        std::vector<std::byte> buffer(4);
        const size_t cut = comm.rank() == 0 ? 1 : 2;
        comm.all_gather(buffer.data(), std::vector<size_t>{0, cut, 4});
      },
      [](Communicator& comm) {
        std::vector<std::byte> buffer(4);
        comm.broadcast(buffer.data(), 4, comm.rank());
      },
      [](Communicator& comm) {
        std::vector<double> one(1);
        comm.all_reduce(std::span(one), comm.rank() == 0 ? Reduce::min : Reduce::max);
      },
      [](Communicator& comm) {
        std::byte* arena = comm.allocate(8);
        std::vector<std::byte> own(8);
        comm.all_gather(comm.rank() == 0 ? arena : own.data(), std::vector<size_t>{0, 4, 8});
      }};
  for (const auto& call : calls)
    for (const auto& outcome : on_ranks(2, call))
      expect_error(outcome, ErrorCode::internal, {"with other bounds"});
}

TEST(ShmFailure, OwnMistakesStopTheOthersToo) {
  for (const auto& outcome : on_ranks(2, [](Communicator& comm) {
         if (comm.rank() == 0) return comm.barrier();
         comm.broadcast(nullptr, 0, 7);
       })) {
    expect_error(outcome, ErrorCode::internal, {"rank 1: broadcast from a rank that does not exist"});
    EXPECT_LT(outcome.seconds, 30);
  }
}

TEST(ShmFailure, LateRanksAreNamedAtTheDeadline) {
  const auto outcomes = on_ranks(
      4,
      [](Communicator& comm) {
        comm.barrier();
        if (comm.rank() >= 2) return;
        std::vector<std::byte> buffer(4);
        comm.all_gather(buffer.data(), std::vector<size_t>{0, 1, 2, 3, 4});
      },
      0.5);
  for (const size_t r : {0U, 1U})
    expect_error(outcomes[r], ErrorCode::retry,
                 {"rank 2 did not reach all_gather #2 within 0.5 s", "rank 3 did not reach all_gather #2"});
}

TEST(ShmFailure, RankThatNeverJoinsIsNamed) {
  const int fd = ::memfd_create("saemill-test", MFD_CLOEXEC);
  try {
    make_shm_communicator({fd, 0, 2, 0.3});
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::retry);
    EXPECT_STREQ(error.what(), "rank 1 did not reach join #0 within 0.3 s (it has not joined)");
  }
  ::close(fd);
}

TEST(ShmFailure, RankMayJoinLateButOnlyOnce) {
  const int fd = ::memfd_create("saemill-test", MFD_CLOEXEC);
  std::thread late([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    make_shm_communicator({fd, 1, 2, 30})->barrier();
  });
  const auto comm = make_shm_communicator({fd, 0, 2, 30});
  EXPECT_GT(comm->wait_seconds(), 0.1);
  comm->barrier();
  late.join();
  EXPECT_THROW(make_shm_communicator({fd, 1, 2, 30}), Error);
  EXPECT_THROW(comm->barrier(), Error);
  ::close(fd);
}

TEST(ShmFailure, ArenaThatTheKernelRefusesStopsAllRanks) {
  const int fd = ::memfd_create("saemill-test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  std::vector<std::string> messages(2);
  const auto rank = [&](int r) {
    try {
      const auto comm = make_shm_communicator({fd, r, 2, 30});
      comm->barrier();
      if (r == 0) {
        ASSERT_EQ(::fcntl(fd, F_ADD_SEALS, F_SEAL_GROW), 0);
      }
      comm->allocate(123);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::retry);
      messages[static_cast<size_t>(r)] = error.what();
    }
  };
  std::thread other(rank, 1);
  rank(0);
  other.join();
  EXPECT_NE(messages[0].find("no room for 4096 bytes of shared memory"), std::string::npos) << messages[0];
  EXPECT_EQ(messages[1], messages[0]);
  ::close(fd);
}

TEST(ShmFailure, AbortWakesEverybody) {
  std::atomic<double> aborted_at = 0;
  std::array<double, 4> woken_at{};
  const auto outcomes = on_ranks(4, [&](Communicator& comm) {
    comm.barrier();
    if (comm.rank() == 1) {
      std::this_thread::sleep_for(std::chrono::milliseconds(200));
      aborted_at = monotonic_seconds();
      return comm.abort("rank 1 has had enough");
    }
    try {
      comm.barrier();
    } catch (const Error&) {
      woken_at[static_cast<size_t>(comm.rank())] = monotonic_seconds();
      throw;
    }
  });
  for (const size_t r : {0U, 2U, 3U}) {
    expect_error(outcomes[r], ErrorCode::retry, {"rank 1 has had enough"});
    EXPECT_LT(woken_at[r] - aborted_at, 1);
  }
}

}  // namespace
}  // namespace saemill
