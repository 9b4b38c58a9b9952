#include "control/jobs/trash.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

#include "common/base/temporary_folder.h"

namespace saemill {
namespace {

namespace fs = std::filesystem;

class TrashTest : public ::testing::Test {
 protected:
  fs::path make(const fs::path& name) const {
    fs::create_directories(folder_ / name / "inner");
    for (const char* file : {"manifest.json", "inner/part-0"})
      std::ofstream(folder_ / name / file) << "bytes";
    return folder_ / name;
  }
  bool is_emptied() const {
    for (int i = 0; i < 1000; ++i, std::this_thread::sleep_for(std::chrono::milliseconds(10)))
      if (fs::is_empty(folder_ / "trash")) return true;
    return false;
  }
  TemporaryFolder temporary_;
  fs::path folder_ = temporary_.path;
};

TEST_F(TrashTest, WhatIsTakenIsGoneAtOnceAndDeletedThen) {
  Trash trash(folder_ / "trash");
  for (int i = 0; i < 3; ++i) {
    const fs::path run = make("run");  // the same name again and again
    trash.take(run);
    EXPECT_FALSE(fs::exists(run));
  }
  EXPECT_TRUE(is_emptied());
  trash.take(folder_ / "nowhere");
  EXPECT_TRUE(fs::is_empty(folder_ / "trash"));
}

TEST_F(TrashTest, ALinkIsTakenAndNotWhatItNames) {
  Trash trash(folder_ / "trash");
  const fs::path run = make("run"), elsewhere = make("elsewhere");
  fs::create_directory_symlink(elsewhere, run / "inner" / "link");
  fs::create_directory_symlink(elsewhere, folder_ / "other");
  trash.take(run);
  trash.take(folder_ / "other");
  EXPECT_TRUE(is_emptied());
  EXPECT_FALSE(fs::exists(fs::symlink_status(folder_ / "other")));
  EXPECT_TRUE(fs::exists(elsewhere / "inner" / "part-0"));
}

TEST_F(TrashTest, WhatAnEarlierOneLeftIsDeleted) {
  make("trash/half-deleted");
  const Trash trash(folder_ / "trash");
  EXPECT_TRUE(is_emptied());
}

TEST_F(TrashTest, WithoutAFolderItDeletesInPlace) {
  std::ofstream(folder_ / "trash") << "a file";
  Trash trash(folder_ / "trash");
  const fs::path run = make("run");
  trash.take(run);
  EXPECT_FALSE(fs::exists(run));
  EXPECT_FALSE(fs::exists(run.string() + ".tmp"));
}

}  // namespace
}  // namespace saemill
