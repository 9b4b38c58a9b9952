// Ranks as processes, as they are in a training: what the others are told when one is killed or stopped.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "common/base/clock.h"
#include "common/base/error.h"
#include "common/base/proc.h"
#include "engine/comm/communicator.h"

namespace saemill {
namespace {

// Two ranks in processes of their own, which meet until something ends it; this process is the third.
class ShmProcess : public testing::Test {
 protected:
  void SetUp() override {
    fd_ = ::memfd_create("saemill-test", 0);
    for (const int rank : {1, 2}) peers_.push_back(start(rank));
  }
  void TearDown() override {
    for (const pid_t peer : peers_) {
      ::kill(peer, SIGKILL);
      if (peer != reaped_) ::waitpid(peer, nullptr, 0);
    }
    ::close(fd_);
  }

  // A peer ends with 0 after Error{retry} that names rank 2, else with 1.
  pid_t start(int rank) {
    const pid_t pid = ::fork();
    if (pid != 0) return pid;
    int result = 1;
    try {
      const auto comm = make_shm_communicator({fd_, rank, 3, deadline_});
      for (int i = 0; rank != 2 || i != meetings_of_rank_2_; ++i) comm->barrier();
      const LongWork work(*comm);
      for (;;) ::pause();
    } catch (const Error& error) {
      const bool named = std::string(error.what()).find("rank 2") != std::string::npos;
      result = error.code() == ErrorCode::retry && named ? 0 : 1;
    }
    ::_exit(result);
  }

  struct Failure {
    std::string message;
    ErrorCode code = ErrorCode::internal;
    double seconds = 0;
  };

  // What this rank is told after the signal to rank 2.
  Failure meet_until_error(int signal, double after = 0) {
    double sent = 0, told = 0;
    Failure failure;
    std::thread sender;
    try {
      const auto comm = make_shm_communicator({fd_, 0, 3, deadline_});
      for (int i = 0; i < kMeetings; ++i) comm->barrier();
      sender = std::thread([&] {
        std::this_thread::sleep_for(std::chrono::duration<double>(after));
        sent = monotonic_seconds();
        ::kill(peers_[1], signal);
      });
      for (;;) comm->barrier();
    } catch (const Error& error) {
      told = monotonic_seconds();
      failure = {error.what(), error.code(), 0};
    }
    if (sender.joinable()) sender.join();
    failure.seconds = told - sent;
    return failure;
  }

  int exit_code_of_rank_1() {
    int status = -1;
    reaped_ = ::waitpid(peers_[0], &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

  static constexpr int kMeetings = 100;
  int meetings_of_rank_2_ = -1;  // after which it is at LongWork for ever; -1: it goes on meeting the others
  int fd_ = -1;
  pid_t reaped_ = 0;
  std::vector<pid_t> peers_;
  static constexpr double deadline_ = 2;
};

TEST_F(ShmProcess, KilledRankIsNamedBeforeTheDeadline) {
  const Failure failure = meet_until_error(SIGKILL);
  EXPECT_EQ(failure.code, ErrorCode::retry);
  const std::string expected = "rank 2 (pid " + std::to_string(peers_[1]) + ") is gone";
  EXPECT_NE(failure.message.find(expected), std::string::npos) << failure.message;
  EXPECT_NE(failure.message.find("barrier #"), std::string::npos) << failure.message;
  EXPECT_LT(failure.seconds, deadline_);
  EXPECT_EQ(exit_code_of_rank_1(), 0);
}

TEST_F(ShmProcess, StoppedRankIsNamedAtTheDeadline) {
  const Failure failure = meet_until_error(SIGSTOP);
  EXPECT_EQ(failure.code, ErrorCode::retry);
  EXPECT_NE(failure.message.find("rank 2 did not reach barrier #"), std::string::npos) << failure.message;
  const std::string state = "within 2 s (pid " + std::to_string(peers_[1]) + " is stopped: state T)";
  EXPECT_NE(failure.message.find(state), std::string::npos) << failure.message;
  EXPECT_GE(failure.seconds, 1.9);
  EXPECT_LT(failure.seconds, 10);
  EXPECT_EQ(exit_code_of_rank_1(), 0);
}

class ShmProcessAtWork : public ShmProcess {
 protected:
  void SetUp() override {
    meetings_of_rank_2_ = kMeetings;
    ShmProcess::SetUp();
  }
};

TEST_F(ShmProcessAtWork, IsWaitedForUntilItIsKilled) {
  const Failure failure = meet_until_error(SIGKILL, deadline_ + 1);
  EXPECT_EQ(failure.code, ErrorCode::retry);
  const std::string expected = "rank 2 (pid " + std::to_string(peers_[1]) + ") is gone";
  EXPECT_NE(failure.message.find(expected), std::string::npos) << failure.message;
  EXPECT_GE(failure.seconds, 0) << "it was not waited for";
  EXPECT_LT(failure.seconds, deadline_);
  EXPECT_EQ(exit_code_of_rank_1(), 0);
}

TEST_F(ShmProcessAtWork, IsLateOnceItIsStopped) {
  const Failure failure = meet_until_error(SIGSTOP, deadline_ + 0.5);
  EXPECT_EQ(failure.code, ErrorCode::retry);
  EXPECT_NE(failure.message.find("rank 2 did not reach barrier #"), std::string::npos) << failure.message;
  EXPECT_GE(failure.seconds, 1.8);
  EXPECT_LT(failure.seconds, 10);
  EXPECT_EQ(exit_code_of_rank_1(), 0);
}

TEST(ProcessStat, TellsAProcessFromItsZombieAndFromALaterOne) {
  const ProcessStat own = process_stat(::getpid());
  EXPECT_EQ(own.state, 'R');
  EXPECT_GT(own.start_time, 0);
  EXPECT_FALSE(has_ended(own, own.start_time));
  EXPECT_TRUE(has_ended(own, own.start_time + 1));

  std::array<int, 2> gate{};
  ASSERT_EQ(::pipe(gate.data()), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    char byte = 0;
    ::close(gate[1]);
    ::_exit(::read(gate[0], &byte, 1) == 0 ? 0 : 1);
  }
  ::close(gate[0]);
  const int64_t start_time = process_stat(child).start_time;
  EXPECT_FALSE(has_ended(process_stat(child), start_time));
  ::close(gate[1]);
  siginfo_t info{};
  ::waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOWAIT);  // it stays a zombie
  EXPECT_EQ(process_stat(child).state, 'Z');
  EXPECT_TRUE(has_ended(process_stat(child), start_time));
  ::waitpid(child, nullptr, 0);
  EXPECT_TRUE(has_ended(process_stat(child), start_time));
}

}  // namespace
}  // namespace saemill
