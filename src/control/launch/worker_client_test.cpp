#include "control/launch/worker_client.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <fstream>
#include <thread>

#include "common/base/error.h"
#include "common/base/proc.h"
#include "common/base/temporary_folder.h"

namespace saemill {
namespace {

namespace fs = std::filesystem;

constexpr double kLong = 600;

// A worker is a shell script here.
class InspectJson : public ::testing::Test {
 protected:
  nlohmann::ordered_json ask(const std::string& script, double deadline = kLong, int cancel_fd = -1,
                             const std::string& tensor = "") const {
    const fs::path worker = folder_ / "worker";
    std::ofstream(worker) << "#!/bin/sh\n" << script << "\n";
    ::chmod(worker.c_str(), 0755);
    return inspect_json(worker, "/data/a.npy", tensor, deadline, cancel_fd);
  }
  std::pair<ErrorCode, std::string> refusal(const std::string& script, double deadline = kLong,
                                            int cancel_fd = -1) const {
    try {
      ADD_FAILURE() << ask(script, deadline, cancel_fd);
    } catch (const Error& error) {
      return {error.code(), error.what()};
    }
    return {};
  }
  // The pid that the script wrote.
  int64_t pid_in(const std::string& file) const {
    int64_t pid = 0;
    std::ifstream(folder_ / file) >> pid;
    return pid;
  }
  std::string note_pid(const std::string& file) const {
    return "echo $$ > " + (folder_ / file).string() + "\n";
  }
  static bool ends(int64_t pid) {
    while (!has_ended(pid, process_start_time(pid))) std::this_thread::yield();
    return true;
  }

  TemporaryFolder temporary_;
  fs::path folder_ = temporary_.path;
};

TEST_F(InspectJson, GivesTheWholeAnswerInItsOrder) {
  const auto json =
      ask(R"(echo '{"files": 2, "rows": 7, "d_in": 3, "dtype": "F32", "tensor": "", "bytes": 84}')");
  EXPECT_EQ(json.dump(), R"({"files":2,"rows":7,"d_in":3,"dtype":"F32","tensor":"","bytes":84})");
}

TEST_F(InspectJson, PassesPathAndTensorAsTheyAre) {
  const auto json =
      ask(R"(echo "{\"rows\": 1, \"d_in\": 1, \"words\": \"$1|$2|$3|$4|$5\"}")", kLong, -1, "--json x");
  EXPECT_EQ(json["words"], "inspect|/data/a.npy|--json|--tensor=--json x|");
}

TEST_F(InspectJson, AWorkerThatHangsIsKilledAtTheDeadline) {
  const auto [code, message] = refusal(note_pid("pid") + "exec sleep 1000", 0.2);
  EXPECT_EQ(code, ErrorCode::retry);
  EXPECT_NE(message.find("/data/a.npy"), std::string::npos) << message;
  EXPECT_NE(message.find("0.2 s"), std::string::npos) << message;
  if (pid_in("pid") > 0) {
    EXPECT_TRUE(ends(pid_in("pid")));
  }
}

TEST_F(InspectJson, SoIsOneThatHasClosedItsOutput) {
  EXPECT_EQ(refusal("exec >&- 2>&-\nexec sleep 1000", 0.2).first, ErrorCode::retry);
}

TEST_F(InspectJson, WhatAWorkerLeavesBehindDoesNotKeepTheAnswer) {
  const auto json = ask(R"(sleep 1000 & echo $! > )" + (folder_ / "pid").string() +
                        "\n"
                        R"(echo '{"rows": 1, "d_in": 1}')");
  EXPECT_EQ(json["rows"], 1);
  EXPECT_TRUE(ends(pid_in("pid")));
}

TEST_F(InspectJson, HalfAnAnswerIsNone) {
  EXPECT_EQ(refusal(R"(printf '{"rows": 1')").first, ErrorCode::internal);
  EXPECT_EQ(refusal("true").first, ErrorCode::internal);
  EXPECT_EQ(refusal("echo '[1]'").first, ErrorCode::internal);
  EXPECT_EQ(refusal(R"(echo '{"rows": 0, "d_in": 1}')").first, ErrorCode::bad_data);
  EXPECT_EQ(refusal(R"(echo '{"rows": 1, "d_in": "many"}')").first, ErrorCode::bad_data);
}

TEST_F(InspectJson, AnAnswerOfTwoMegabytesIsReadToItsEndAndRefused) {
  const auto [code, message] = refusal("head -c 2000000 /dev/zero | tr '\\0' x");
  EXPECT_EQ(code, ErrorCode::internal);
  EXPECT_LT(message.size(), 1000U);
  EXPECT_LT(refusal("head -c 2000000 /dev/zero | tr '\\0' x >&2; exit 65").second.size(), 5000U);
}

TEST_F(InspectJson, AFailureIsPassedOn) {
  const auto [code, message] = refusal("echo 'saemill: /data/a.npy: not a shard' >&2; exit 65");
  EXPECT_EQ(code, ErrorCode::bad_data);
  EXPECT_EQ(message, "/data/a.npy: not a shard");
  EXPECT_EQ(refusal("exit 65").first, ErrorCode::bad_data);
  EXPECT_EQ(refusal("kill -9 $$").first, ErrorCode::retry);
}

TEST_F(InspectJson, AReadableDescriptorCancels) {
  int ends_of[2];
  ASSERT_EQ(::pipe(ends_of), 0);
  const Fd read_end(ends_of[0]);
  Fd write_end(ends_of[1]);
  EXPECT_EQ(ask(R"(echo '{"rows": 1, "d_in": 1}')", kLong, read_end.get())["rows"], 1);
  std::thread canceller([&] {
    while (pid_in("pid") == 0) std::this_thread::yield();
    EXPECT_EQ(::write(write_end.get(), "x", 1), 1);
  });
  EXPECT_EQ(refusal(note_pid("pid") + "exec sleep 1000", kLong, read_end.get()).first, ErrorCode::cancelled);
  canceller.join();
  EXPECT_TRUE(ends(pid_in("pid")));
  EXPECT_EQ(refusal("sleep 1000", kLong, read_end.get()).first, ErrorCode::cancelled);  // it stays readable
}

TEST_F(InspectJson, ManyAtOnceFromThreadsThatEnd) {
  const std::string script = R"(echo '{"rows": 1, "d_in": 1}')";
  ask(script);
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i)
    threads.emplace_back([&] {
      for (int j = 0; j < 5; ++j) EXPECT_EQ(inspect_json(folder_ / "worker", "p", "", kLong)["rows"], 1);
    });
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace saemill
