// What is told of a training's logs: which of them, and when.
#include "control/api/log_watch.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <map>

#include "common/base/clock.h"
#include "control/api/run_folder_fixture.h"
#include "control/api/training_logs.h"

namespace saemill::api {
namespace {

using namespace std::chrono_literals;
using Sizes = std::map<std::string, int64_t>;

// The last size that was told of each log, and how many were told.
struct Listener : Subscriber {
  void deliver(const MessagePtr& message) override {
    const Json json = Json::parse(message->text);
    EXPECT_EQ(json.at("event"), "log:grown");
    sizes[json.at("data").at("rank")] = json.at("data").at("bytes");
    ++told;
  }
  Sizes sizes;
  int told = 0;
};

class LogWatchTest : public ::testing::Test {
 protected:
  LogWatchTest() {
    for (const char* id : {"1", "2"}) {
      write_run(root_ / id);
      hub_.open(logs_channel(id));
    }
  }
  ~LogWatchTest() override { std::filesystem::remove_all(root_); }

  // Waits until that is what the listener was told.
  bool hears(const Sizes& sizes) {
    for (const double end = monotonic_seconds() + 20; monotonic_seconds() < end;
         std::this_thread::sleep_for(5ms)) {
      hub_.distribute();
      if (listener_->sizes == sizes) return true;
    }
    return false;
  }
  void listen(const std::string& id) {
    for (const MessagePtr& tick : hub_.subscribe(listener_, logs_channel(id), std::nullopt).missed)
      listener_->deliver(tick);
  }
  void append(const std::string& log, const std::string& text) {
    std::ofstream(root_ / log, std::ios::app) << text;
  }

  std::filesystem::path root_ =
      std::filesystem::temp_directory_path() / ("log_watch_test_" + std::to_string(::getpid()));
  Hub hub_{[] {}};
  std::shared_ptr<Listener> listener_ = std::make_shared<Listener>();
  LogWatch watch_{hub_, [this](const std::string& id) { return root_ / id; }, 5ms};
};

TEST_F(LogWatchTest, SizesAreToldAndThenWhatGrows) {
  listen("1");
  EXPECT_TRUE(hears({{"0", 8}, {"launcher", 8}}));
  append("1/logs/rank-0.log", "three\n");
  EXPECT_TRUE(hears({{"0", 14}, {"launcher", 8}}));
  EXPECT_EQ(listener_->told, 3);  // nothing of the one that has not grown
  append("1/logs/rank-10.log", "ten\n");
  append("1/launcher.log", "!\n");
  EXPECT_TRUE(hears({{"0", 14}, {"10", 4}, {"launcher", 10}}));
}

TEST_F(LogWatchTest, ALogThatIsBegunAnewIsTold) {
  listen("1");
  EXPECT_TRUE(hears({{"0", 8}, {"launcher", 8}}));
  std::filesystem::resize_file(root_ / "1/logs/rank-0.log", 0);
  EXPECT_TRUE(hears({{"0", 0}, {"launcher", 8}}));
}

TEST_F(LogWatchTest, OnlyWhatSomebodyListensToIsLookedAt) {
  listen("1");
  EXPECT_TRUE(hears({{"0", 8}, {"launcher", 8}}));
  EXPECT_TRUE(hub_.subscribe(std::make_shared<Listener>(), logs_channel("2"), std::nullopt).missed.empty());
}

TEST_F(LogWatchTest, WhoComesBackIsToldWhatIsThere) {
  listen("1");
  EXPECT_TRUE(hears({{"0", 8}, {"launcher", 8}}));
  hub_.leave(listener_);
  std::this_thread::sleep_for(50ms);
  append("1/logs/rank-0.log", "away\n");
  listener_->sizes.clear();
  listen("1");  // the last tick, which is older, and then the new size
  EXPECT_TRUE(hears({{"0", 13}, {"launcher", 8}}));
}

TEST_F(LogWatchTest, ATrainingWithoutFolderHasNoLogs) {
  hub_.open(logs_channel("3"));
  listen("3");
  write_file(root_ / "3/launcher.log", "begun\n");
  EXPECT_TRUE(hears({{"launcher", 6}}));
}

TEST(TrainingLogs, RanksAreSortedAsNumbersAndTheLauncherIsLast) {
  const auto run = std::filesystem::temp_directory_path() / ("training_logs_" + std::to_string(::getpid()));
  for (const char* name :
       {"rank-0.log", "rank-2.log", "rank-10.log", "rank-0.log.1", "rank-01.log", "rank-.log", "other"})
    write_file(run / "logs" / name, "text");
  write_file(run / "launcher.log", "");
  std::string ranks;
  for (const TrainingLog& log : logs_of(run)) ranks += log.rank + " ";
  EXPECT_EQ(ranks, "0 2 10 launcher ");
  std::filesystem::remove_all(run);
}

}  // namespace
}  // namespace saemill::api
