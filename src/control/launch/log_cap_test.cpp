#include "control/launch/log_cap.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <fstream>

#include "common/base/temporary_folder.h"
#include "control/launch/fd.h"

namespace saemill {
namespace {

namespace fs = std::filesystem;

constexpr LogLimits kSmall{.most = 1000, .kept = 400, .most_uncopied = 3000};

class LogCapTest : public ::testing::Test {
 protected:
  void SetUp() override {
    // As the launcher opens it for a rank.
    rank_ = Fd(::open(log().c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
  }
  fs::path log() const { return folder_ / "rank-0.log"; }
  fs::path earlier() const { return folder_ / "rank-0.log.1"; }
  int64_t size() const { return static_cast<int64_t>(fs::file_size(log())); }
  void print(const std::string& text) {
    ASSERT_EQ(::write(rank_.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }
  // Lines of ten bytes: "line 0007".
  void print_lines(int first, int last) {
    for (int i = first; i < last; ++i) print(fmt::format("line {:04}\n", i));
  }
  static std::string text_of(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  }

  TemporaryFolder temporary_;
  fs::path folder_ = temporary_.path;
  Fd rank_;
};

TEST_F(LogCapTest, TheEndIsKeptFromALineAndTheRankGoesOn) {
  LogCap cap(log(), 0, kSmall);
  print_lines(0, 100);
  cap.check();
  EXPECT_EQ(size(), 1000) << "not over the limit";
  EXPECT_FALSE(fs::exists(earlier()));
  print_lines(100, 120);
  cap.check();
  EXPECT_EQ(size(), 0);
  const std::string kept = text_of(earlier());
  EXPECT_TRUE(kept.starts_with("line 0085\n")) << kept;
  EXPECT_TRUE(kept.ends_with("line 0119\n")) << kept;
  EXPECT_EQ(cap.tail(2), "line 0118\nline 0119");
  print_lines(120, 121);
  EXPECT_EQ(text_of(log()), "line 0120\n") << "no hole before it";
  EXPECT_EQ(cap.tail(1), "line 0120");
  EXPECT_EQ(cap.tail(3), "line 0118\nline 0119\nline 0120");
  print_lines(121, 300);
  cap.check();
  EXPECT_TRUE(text_of(earlier()).ends_with("line 0299\n"));
  EXPECT_EQ(fs::file_size(earlier()), 350U);
}

TEST_F(LogCapTest, OnlyThisAttemptIsQuoted) {
  print_lines(0, 110);
  const int64_t begin = size();
  LogCap cap(log(), begin, kSmall);
  EXPECT_EQ(cap.tail(3), "");
  print_lines(110, 112);
  EXPECT_EQ(cap.tail(3), "line 0110\nline 0111");
  cap.check();
  EXPECT_EQ(cap.tail(3), "line 0110\nline 0111");
  EXPECT_EQ(LogCap(log(), 0, kSmall).tail(3), "") << "the next attempt has printed nothing yet";
}

TEST_F(LogCapTest, OneLineWithoutAnEnd) {
  LogCap cap(log(), 0, kSmall);
  print(std::string(2000, 'x'));
  cap.check();
  EXPECT_EQ(size(), 0);
  EXPECT_EQ(fs::file_size(earlier()), 350U);
}

TEST_F(LogCapTest, WhatCannotBeCopiedStaysUntilItIsFarTooMuch) {
  fs::create_directories(earlier() / "in the way");
  LogCap cap(log(), 0, kSmall);
  print_lines(0, 200);
  cap.check();
  EXPECT_EQ(size(), 2000);
  print_lines(200, 301);
  cap.check();
  EXPECT_EQ(size(), 0);
  EXPECT_FALSE(fs::exists(earlier().string() + ".tmp"));
  EXPECT_EQ(cap.tail(3), "");
  print_lines(301, 302);
  EXPECT_EQ(cap.tail(3), "line 0301");
}

TEST_F(LogCapTest, ALogThatIsGoneIsNobodysTrouble) {
  LogCap cap(log(), 0, kSmall);
  fs::remove(log());
  cap.check();
  EXPECT_EQ(cap.tail(3), "");
}

}  // namespace
}  // namespace saemill
