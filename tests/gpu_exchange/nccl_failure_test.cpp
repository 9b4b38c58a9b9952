// The exchange over a NCCL that fails: each failure is the right error, in time, and nothing hangs.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "buffer.h"
#include "common/base/clock.h"

namespace saemill {
namespace {

constexpr double kDeadline = 0.4;

class NcclFailures : public testing::Test {
 protected:
  void SetUp() override {
    char pattern[] = "/tmp/saemill_fake_nccl_XXXXXX";
    const int fd = ::mkstemp(pattern);
    if (fd >= 0) ::close(fd);
    path_ = pattern;
    use_schedule("1");  // streams take turns, so one that is stuck leaves the others theirs
  }
  void TearDown() override {
    use_schedule(schedules()[0]);
    ::unlink(path_.c_str());
  }

  Setting setting(nlohmann::json scenario, double deadline = kDeadline) const {
    scenario["log"] = path_;
    return {.transport = {true, 3}, .scenario = scenario.dump(), .deadline = deadline};
  }

  std::string log() const {
    std::ifstream file(path_);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  size_t count(const std::string& text) const {
    const std::string all = log();
    size_t found = 0;
    for (size_t at = all.find(text); at != std::string::npos; at = all.find(text, at + 1)) ++found;
    return found;
  }
  bool logged(const std::string& text) const { return log().find(text) != std::string::npos; }

 private:
  std::string path_;
};

Buffer& kept_buffer(Rank& rank, const std::vector<int64_t>& counts) {
  const auto buffer = std::make_shared<Buffer>(DType::f32, 5, bounds_of(counts, rank.size));
  rank.kept.push_back(buffer);
  return *buffer;
}

void gather_once(Rank& rank, const std::vector<int64_t>& counts = {4}) {
  Buffer& buffer = kept_buffer(rank, counts);
  buffer.write(rank.rank, rank.compute);
  rank.exchange.gather({buffer.gathered()});
  rank.exchange.finish();
}

// As a trainer does: a check in each step, for longer than the deadline.
void gather_and_check(Rank& rank) {
  Buffer& buffer = kept_buffer(rank, {4});
  const double start = monotonic_seconds();
  for (int step = 0; monotonic_seconds() - start < 10 * kDeadline; ++step) {
    buffer.write(rank.rank, rank.compute);
    if (step < 3) rank.exchange.gather({buffer.gathered()});
    rank.exchange.check();
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
}

// A piece costs the host about as much whatever is in it.
TEST_F(NcclFailures, ThereAreThirtyTwoPiecesAtMost) {
  for (const auto& [rows, expected] : {std::pair<int64_t, size_t>{20, 20}, {33, 17}, {640, 32}}) {
    const size_t before = count("rank 1: ncclBroadcast");
    Setting few = setting({}, 20);
    few.piece_bytes = 1;
    expect_no_errors(on_ranks(few, [rows = rows](Rank& rank) {
      Buffer& buffer = kept_buffer(rank, {rows, 0, 0});  // one broadcast for each piece
      buffer.write(rank.rank, rank.compute);
      rank.exchange.gather_in_pieces({buffer.gathered()});
      rank.exchange.await_all();
      rank.exchange.finish();
    }));
    EXPECT_EQ(count("rank 1: ncclBroadcast") - before, expected) << rows << " rows";
  }
}

TEST_F(NcclFailures, NothingFails) {
  expect_no_errors(on_ranks(setting({}, 20), [](Rank& rank) {
    EXPECT_EQ(rank.exchange.name(), "nccl 2.28.9");
    gather_once(rank);
    gather_once(rank, {4, 0, 2});
  }));
  for (const char* text :
       {"rank 1: ncclAllGather 80 bytes each", "rank 0: ncclBroadcast 80 bytes from rank 0",
        "rank 2: ncclBroadcast 40 bytes from rank 2", "rank 2: ncclCommDestroy"})
    EXPECT_TRUE(logged(text)) << text << " is not in\n" << log();
  EXPECT_FALSE(logged("from rank 1"));
  EXPECT_FALSE(logged("Abort"));
}

TEST_F(NcclFailures, JoiningHangs) {
  for (const Outcome& outcome : on_ranks(setting({{"init", "hangs"}}), gather_and_check))
    expect_error(outcome, ErrorCode::retry, {"joining NCCL's 3 ranks was not ready after 0.4 s"});
  EXPECT_TRUE(logged("rank 2: aborted"));
  EXPECT_FALSE(logged("Destroy"));
}

TEST_F(NcclFailures, OneRankIsRefused) {
  const auto outcomes = on_ranks(setting({{"rank", 1}, {"refused_at", 1}}), gather_and_check);
  expect_error(outcomes[1], ErrorCode::retry, {"rank 1: gather failed: NCCL result 5 (invalid usage)"});
  for (const size_t r : {0u, 2u})
    expect_error(outcomes[r], ErrorCode::retry,
                 {fmt::format("rank {}: gather was not ready after 0.4 s", r)});
  EXPECT_FALSE(logged("Destroy"));
}

TEST_F(NcclFailures, AnErrorComesUpLater) {
  const auto outcomes = on_ranks(setting({{"async_error_at", 2}}), gather_and_check);
  for (size_t r = 0; r < 3; ++r)
    expect_error(outcomes[r], ErrorCode::retry,
                 {fmt::format("rank {}: ", r), " failed: NCCL result 6 (remote process exited",
                  "the fake lost a peer"});
  EXPECT_TRUE(logged("rank 0: aborted"));
  EXPECT_FALSE(logged("Destroy"));
}

TEST_F(NcclFailures, AnOperationNeverFinishes) {
  for (const auto& body :
       {std::function<void(Rank&)>(gather_and_check), std::function<void(Rank&)>([](Rank& rank) {
          gather_once(rank);
          gather_once(rank);
        })}) {
    const auto outcomes = on_ranks(setting({{"stuck_at", 1}}), body);
    for (size_t r = 0; r < 3; ++r)
      expect_error(outcomes[r], ErrorCode::retry,
                   {fmt::format("rank {}: gather has not finished after 0.4 s", r)});
  }
  EXPECT_TRUE(logged("rank 1: aborted"));
  EXPECT_FALSE(logged("Destroy"));
}

TEST_F(NcclFailures, TheAbortHangs) {
  const auto outcomes = on_ranks(setting({{"stuck_at", 1}, {"abort_seconds", 1000}}), gather_and_check);
  for (const Outcome& outcome : outcomes)
    expect_error(outcome, ErrorCode::retry, {"gather has not finished after 0.4 s"});
  EXPECT_TRUE(logged("ncclCommAbort"));
  EXPECT_FALSE(logged("aborted"));
  EXPECT_FALSE(logged("Destroy"));
}

TEST_F(NcclFailures, AnotherErrorPassesBy) {
  const auto outcomes = on_ranks(setting({}, 20), [](Rank& rank) {
    gather_once(rank);
    throw Error(ErrorCode::bad_data, "something else");
  });
  for (const Outcome& outcome : outcomes) expect_error(outcome, ErrorCode::bad_data, {"something else"});
  EXPECT_TRUE(logged("rank 1: aborted"));
  EXPECT_FALSE(logged("Finalize"));
}

TEST_F(NcclFailures, RanksCallDifferently) {
  const auto outcomes =
      on_ranks(setting({}), [](Rank& rank) { gather_once(rank, {rank.rank == 1 ? 3 : 4}); });
  for (const Outcome& outcome : outcomes) EXPECT_EQ(outcome.code, ErrorCode::retry) << outcome.message;
}

TEST_F(NcclFailures, OneRankHasAnotherVersion) {
  Setting other = setting({});
  other.libraries[2] = FAKE_NCCL_OTHER;
  for (const Outcome& outcome : on_ranks(other, gather_and_check))
    expect_error(outcome, ErrorCode::bad_config, {"rank 0 has NCCL 2.28.9", "rank 2 has NCCL 2.27.3"});
  EXPECT_FALSE(logged("ncclCommInit"));
}

TEST_F(NcclFailures, OneRankHasNoUsableLibrary) {
  const std::vector<std::pair<std::string, std::vector<std::string>>> cases = {
      {"/nowhere/libnccl.so.2", {"/nowhere/libnccl.so.2 cannot be loaded", "libnccl2", "LD_LIBRARY_PATH"}},
      {FAKE_NCCL_OLD, {"is NCCL 2.17.5, which is too old", "2.18"}},
      {FAKE_NCCL_BARE, {"has no function ncclGetUniqueId"}}};
  for (const auto& [library, parts] : cases) {
    Setting other = setting({});
    other.libraries[1] = library;
    const auto outcomes = on_ranks(other, gather_and_check);
    expect_error(outcomes[1], ErrorCode::bad_config, parts);
    for (const size_t r : {0u, 2u})
      expect_error(outcomes[r], ErrorCode::bad_config, {"rank 1 has no usable NCCL"});
  }
}

TEST_F(NcclFailures, VariablesAreThoseOfTheConfiguration) {
  expect_no_errors(on_ranks(setting({}, 20), [](Rank& rank) { gather_once(rank); }));
  const std::string before = log();
  Setting with = setting({}, 20);
  with.variables = {{"NCCL_SAEMILL_TEST", "7"}};
  expect_no_errors(on_ranks(with, [](Rank& rank) { gather_once(rank); }));
  ::unsetenv("NCCL_SAEMILL_TEST");
  EXPECT_EQ(before.find("NCCL_"), std::string::npos) << before;
  for (int r = 0; r < 3; ++r) EXPECT_TRUE(logged(fmt::format("rank {}: NCCL_SAEMILL_TEST=7", r)));
  with.variables = {{"NCCL_COMM_BLOCKING", "1"}};
  for (const Outcome& outcome : on_ranks(with, [](Rank&) {}))
    expect_error(outcome, ErrorCode::bad_config, {"NCCL_COMM_BLOCKING is 1"});
  ::unsetenv("NCCL_COMM_BLOCKING");
  with.variables = {{"LD_PRELOAD", "x"}};
  for (const Outcome& outcome : on_ranks(with, [](Rank& rank) { gather_once(rank); }))
    expect_error(outcome, ErrorCode::bad_config, {"'LD_PRELOAD' is not a variable of NCCL"});
}

}  // namespace
}  // namespace saemill
