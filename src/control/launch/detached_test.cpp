#include "control/launch/detached.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>

#include <chrono>
#include <fstream>
#include <thread>

#include "common/base/error.h"
#include "common/base/proc.h"

namespace saemill {
namespace {

SpawnOptions shell(const std::string& script, std::vector<std::string> environment = {}) {
  SpawnOptions options;
  options.command = {"/bin/sh", "-c", script};
  options.environment = std::move(environment);
  return options;
}

bool wait_for(const std::function<bool()>& condition) {
  for (int i = 0; i < 500; ++i) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return false;
}

ExitStatus wait_for_end(const ProcessId& process) {
  std::optional<ExitStatus> status;
  EXPECT_TRUE(wait_for([&] { return (status = reap_child(process.pid)).has_value(); }));
  return status.value_or(ExitStatus{-1, -1});
}

TEST(Detached, RunsInASessionOfItsOwnAfterItWasRecorded) {
  int64_t recorded = 0;
  const ProcessId process = start_detached(shell("exec sleep 60"), [&](const ProcessId& id) {
    recorded = id.pid;
    EXPECT_FALSE(has_ended(id.pid, id.start_time));
  });
  EXPECT_EQ(recorded, process.pid);
  EXPECT_TRUE(wait_for([&] { return process_stat(process.pid).session == process.pid; }));
  const Fd watch = watch_process(process);
  ASSERT_TRUE(watch);
  kill_all({process});
  pollfd polled{watch.get(), POLLIN, 0};
  EXPECT_EQ(::poll(&polled, 1, 5000), 1);
  EXPECT_TRUE(has_ended(process.pid, process.start_time)) << "a zombie has ended";
  EXPECT_EQ(wait_for_end(process).signal, SIGKILL);
  EXPECT_FALSE(reap_child(process.pid)) << "it is nobody's child any more";
}

TEST(Detached, IsNotStartedWhereRecordingFails) {
  const std::string witness = testing::TempDir() + "/detached_witness_" + std::to_string(::getpid());
  int64_t pid = 0;
  EXPECT_THROW(start_detached(shell("touch " + witness),
                              [&](const ProcessId& id) {
                                pid = id.pid;
                                fail(ErrorCode::retry, "the store is away");
                              }),
               Error);
  EXPECT_EQ(process_stat(pid).state, '\0');
  EXPECT_FALSE(std::ifstream(witness).good());
}

TEST(Detached, AProgramThatIsNotThereIsSaidAfterRecording) {
  SpawnOptions options;
  options.command = {"/nonexistent/program"};
  int64_t pid = 0;
  try {
    start_detached(options, [&](const ProcessId& id) { pid = id.pid; });
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::usage);
    EXPECT_NE(std::string(error.what()).find("/nonexistent/program"), std::string::npos);
  }
  EXPECT_GT(pid, 0);
  EXPECT_EQ(process_stat(pid).state, '\0');
}

TEST(Detached, AnExitCodeIsReaped) {
  EXPECT_EQ(wait_for_end(start_detached(shell("exit 65"), [](const ProcessId&) {})).code, 65);
}

TEST(Detached, ADeadOneIsNotWatched) {
  const ProcessId process = start_detached(shell("exit 0"), [](const ProcessId&) {});
  ASSERT_TRUE(wait_for([&] { return has_ended(process.pid, process.start_time); }));
  EXPECT_FALSE(watch_process(process)) << "a zombie";
  wait_for_end(process);
  EXPECT_FALSE(watch_process(process));
}

TEST(Detached, FindsWhatHasLeftTheSessionByItsMark) {
  const std::string mark = "SAEMILL_TEST_MARK=" + std::to_string(::getpid());
  const ProcessId process =
      start_detached(shell("setsid sleep 60 & sleep 60", {mark}), [](const ProcessId&) {});
  ASSERT_TRUE(wait_for([&] { return processes_of(process.pid, mark).size() == 3; }));
  kill_all({process});
  wait_for_end(process);
  auto left = processes_of(process.pid, mark);
  EXPECT_EQ(left.size(), 2u) << "one in the session, one that left it";
  kill_all(left);
  EXPECT_TRUE(wait_for([&] { return processes_of(process.pid, mark).empty(); }));
}

TEST(Detached, KillsNobodyWhoHasThePidByNow) {
  const ProcessId process = start_detached(shell("exec sleep 60"), [](const ProcessId&) {});
  kill_all({{process.pid, process.start_time + 1}});
  EXPECT_FALSE(has_ended(process.pid, process.start_time));
  kill_all({process});
  wait_for_end(process);
}

}  // namespace
}  // namespace saemill
