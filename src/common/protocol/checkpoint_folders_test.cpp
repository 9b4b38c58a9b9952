#include "common/protocol/checkpoint_folders.h"

#include <gtest/gtest.h>

#include <fstream>
#include <set>

#include "common/base/temporary_folder.h"

namespace saemill::checkpoint_folders {
namespace {

class CheckpointFolders : public ::testing::Test {
 protected:
  void make(const std::string& name) {
    fs::create_directories(parent(run_) / name);
    std::ofstream(parent(run_) / name / "manifest.json") << "{}";
  }
  std::set<std::string> left() const {
    std::set<std::string> found;
    for (const auto& entry : fs::directory_iterator(parent(run_)))
      found.insert(entry.path().filename().string());
    return found;
  }
  TemporaryFolder temporary_;
  fs::path run_ = temporary_.path;
};

using Names = std::set<std::string>;

TEST_F(CheckpointFolders, NamesAndSteps) {
  EXPECT_EQ(checkpoint_name(1000), "step-00001000");
  EXPECT_EQ(checkpoint_step("step-00001000"), 1000);
  EXPECT_EQ(checkpoint_step("step-123456789"), 123456789);
  for (const char* name :
       {"", "step-", "step--1", "step-1x", "step-1.tmp", "other", "step-99999999999999999999"})
    EXPECT_FALSE(checkpoint_step(name)) << name;
  EXPECT_EQ(names(run_), "none");
  for (const char* name :
       {"step-00000020", "step-00000010.old", "step-00000010", "step-00000030.tmp", "notes"})
    make(name);
  ASSERT_EQ(list(run_).size(), 3U);
  EXPECT_EQ(list(run_)[0].step, 20);
  EXPECT_FALSE(list(run_)[1].old);
  EXPECT_TRUE(list(run_)[2].old);
  EXPECT_EQ(names(run_), "step-00000010, step-00000020");
}

TEST_F(CheckpointFolders, WhatIsDiscardedIsGoneWhole) {
  for (const char* name : {"step-00000010", "step-00000020", "step-00000020.old", "step-00000030", "notes"})
    make(name);
  for (const char* left_over : {"step-00000020.tmp", "step-00000020.old.tmp"}) make(left_over);
  for (const fs::path& place : places(run_, 20)) EXPECT_GT(fs::remove_all(place), 0u) << place;
  EXPECT_EQ(left(), (Names{"notes", "step-00000010", "step-00000030"}));
  make("step-00000040");
  discard_later(real_file_system(), run_, 10);
  EXPECT_EQ(left(), (Names{"notes", "step-00000010"}));
  discard_later(real_file_system(), run_ / "nowhere", 10);
}

}  // namespace
}  // namespace saemill::checkpoint_folders
