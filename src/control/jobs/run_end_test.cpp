#include "control/jobs/run_end.h"

#include <gtest/gtest.h>

#include <fstream>

#include "common/base/temporary_folder.h"

namespace saemill {
namespace {

namespace fs = std::filesystem;
using Kind = RunEnd::Kind;

class RunEndTest : public ::testing::Test {
 protected:
  void write(const std::string& name, const std::string& text) const {
    fs::create_directories((run_ / name).parent_path());
    std::ofstream(run_ / name) << text;
  }
  RunEnd end(std::optional<ExitStatus> status = {}) const { return read_run_end(run_, status); }

  TemporaryFolder temporary_;
  fs::path run_ = temporary_.path;
};

TEST_F(RunEndTest, WhatExitJsonSays) {
  write("exit.json",
        R"x({"code": 75, "reason": "was killed by signal 9 (Killed)", "rank": 1, "device": "cpu:1",
                       "phase": "train", "step": 40})x");
  EXPECT_EQ(end().kind, Kind::lost);
  EXPECT_EQ(end().message, "rank 1 (cpu:1) in phase train at step 40: was killed by signal 9 (Killed)");
  for (const auto& [code, kind] : {std::pair{64, Kind::failed},
                                   {65, Kind::failed},
                                   {70, Kind::failed},
                                   {78, Kind::failed},
                                   {130, Kind::stopped}}) {
    write("exit.json", R"({"code": )" + std::to_string(code) + R"(, "reason": "because", "step": 1})");
    EXPECT_EQ(end().kind, kind) << code;
    EXPECT_EQ(end().message, "because");
  }
}

TEST_F(RunEndTest, FinishedNeedsTheSae) {
  write("exit.json", R"({"code": 0, "reason": "finished", "step": 9})");
  EXPECT_EQ(end().kind, Kind::failed);
  EXPECT_FALSE(is_finished(run_));
  write("sae/cfg.json", "{}");
  write("sae/sae_weights.safetensors", "x");
  EXPECT_TRUE(is_finished(run_));
  EXPECT_EQ(end(ExitStatus{0, 9}).kind, Kind::finished) << "whatever became of the launcher afterwards";
}

TEST_F(RunEndTest, WithoutExitJsonTheProcessTells) {
  EXPECT_EQ(end().kind, Kind::lost);
  EXPECT_EQ(end(ExitStatus{0, 9}).message, "its launcher was killed by signal 9 (Killed)");
  EXPECT_EQ(end(ExitStatus{65, 0}).kind, Kind::failed);
  write("launcher.log", "saemill: shard.safetensors: truncated\n");
  EXPECT_EQ(end(ExitStatus{65, 0}).message, "saemill: shard.safetensors: truncated");
  EXPECT_EQ(end(ExitStatus{75, 0}).kind, Kind::lost);
  EXPECT_EQ(end(ExitStatus{130, 0}).kind, Kind::stopped);
}

TEST_F(RunEndTest, HalfAnExitJsonIsNone) {
  write("exit.json", R"({"code": 0, "rea)");
  EXPECT_EQ(end(ExitStatus{75, 0}).kind, Kind::lost);
  write("exit.json", R"({"code": "0"})");
  EXPECT_EQ(end(ExitStatus{75, 0}).kind, Kind::lost);
}

}  // namespace
}  // namespace saemill
