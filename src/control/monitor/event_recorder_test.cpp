#include "control/monitor/event_recorder.h"

#include <gtest/gtest.h>
#include <soci/soci.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

#include "common/base/clock.h"
#include "tests/store_fixture.h"

namespace saemill {
namespace {

MachineEvent event_of(int number) {
  return {.time = 1800000000,
          .severity = Severity::warning,
          .code = "hot",
          .host = "here",
          .device_uuid = "",
          .training_id = "",
          .message = std::to_string(number)};
}

std::vector<MachineEvent> events_of(int first, int count) {
  std::vector<MachineEvent> events;
  for (int i = 0; i < count; ++i) events.push_back(event_of(first + i));
  return events;
}

class EventRecorderTest : public testing_tools::StoreTest {
 protected:
  void SetUp() override {
    StoreTest::SetUp();
    if (IsSkipped()) return;
    database_ = std::make_unique<Database>(url_);
    store_ = std::make_unique<MachineEvents>(*database_);
    start();
  }
  void TearDown() override {
    recorder_.reset();
    store_.reset();
    database_.reset();
    StoreTest::TearDown();
  }
  void start() {
    recorder_ = std::make_unique<EventRecorder>(*store_, [this](const MachineEvent& event) {
      const std::lock_guard lock(mutex_);
      told_.push_back(event);
    });
  }
  std::vector<MachineEvent> told() {
    const std::lock_guard lock(mutex_);
    return told_;
  }
  // Whether `condition` comes true while somebody may still be working on it.
  static bool becomes_true(const std::function<bool()>& condition) {
    for (const double until = monotonic_seconds() + 30; monotonic_seconds() < until;) {
      if (condition()) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return false;
  }
  bool is_idle() {
    return becomes_true([&] { return recorder_->status().waiting == 0; });
  }
  void take_the_table_away() {
    database_->write([](soci::session& session) { session << "ALTER TABLE system_events RENAME TO away"; });
  }
  void bring_the_table_back() {
    database_->write([](soci::session& session) { session << "ALTER TABLE away RENAME TO system_events"; });
  }
  // The messages of all stored events, oldest first.
  std::vector<int> stored() const {
    std::vector<int> numbers;
    for (int64_t page = 1;; ++page) {
      const auto events = store_->query({.at_least = {}, .page = page, .limit = 500}).events;
      if (events.empty()) break;
      for (const MachineEvent& event : events) numbers.push_back(std::stoi(event.message));
    }
    std::reverse(numbers.begin(), numbers.end());
    return numbers;
  }
  static std::vector<int> counted(int first, int count) {
    std::vector<int> numbers;
    for (int i = 0; i < count; ++i) numbers.push_back(first + i);
    return numbers;
  }
  static std::vector<int> numbers_of(const std::vector<MachineEvent>& events) {
    std::vector<int> numbers;
    for (const MachineEvent& event : events) numbers.push_back(std::stoi(event.message));
    return numbers;
  }

  std::mutex mutex_;
  std::vector<MachineEvent> told_;
  std::unique_ptr<Database> database_;
  std::unique_ptr<MachineEvents> store_;
  std::unique_ptr<EventRecorder> recorder_;
};
SAEMILL_STORE_TESTS(EventRecorderTest);

TEST_P(EventRecorderTest, TellsEachWithItsId) {
  recorder_->add({});
  recorder_->add(events_of(0, 3));
  recorder_->add(events_of(3, 1200));
  ASSERT_TRUE(is_idle());
  const auto events = told();
  EXPECT_EQ(numbers_of(events), counted(0, 1203));
  EXPECT_GT(events.front().id, 0);
  for (size_t i = 1; i < events.size(); ++i) ASSERT_GT(events[i].id, events[i - 1].id);
  EXPECT_EQ(stored(), counted(0, 1203));
  EXPECT_EQ(store_->query({.at_least = {}, .limit = 1}).events.at(0).id, events.back().id);
  EXPECT_EQ(recorder_->status().error, "");
  EXPECT_EQ(recorder_->status().dropped, 0);
}

TEST_P(EventRecorderTest, AStoreThatIsAwayDelaysNobodyAndLosesNothing) {
  recorder_->add(events_of(0, 2));
  ASSERT_TRUE(is_idle());
  take_the_table_away();
  recorder_->add(events_of(2, 600));
  ASSERT_TRUE(becomes_true([&] { return told().size() == 602; }));
  recorder_->add(events_of(602, 1));  // while it waits to try again
  ASSERT_TRUE(becomes_true([&] { return told().size() == 603; }));
  const EventRecorder::Status status = recorder_->status();
  EXPECT_EQ(status.waiting, 601);
  EXPECT_NE(status.error.find("system_events"), std::string::npos) << status.error;
  bring_the_table_back();
  ASSERT_TRUE(is_idle());
  EXPECT_EQ(recorder_->status().error, "");
  recorder_->add(events_of(603, 1));
  ASSERT_TRUE(is_idle());
  const auto events = told();
  EXPECT_EQ(numbers_of(events), counted(0, 604));
  for (const MachineEvent& event : events) {
    const int number = std::stoi(event.message);
    EXPECT_EQ(event.id != 0, number < 2 || number == 603) << number;
  }
  EXPECT_EQ(stored(), counted(0, 604));
}

TEST_P(EventRecorderTest, StoresWhatWaitsAtTheEnd) {
  take_the_table_away();
  recorder_->add(events_of(0, 5));
  ASSERT_TRUE(becomes_true([&] { return told().size() == 5; }));
  bring_the_table_back();
  recorder_.reset();
  EXPECT_EQ(stored(), counted(0, 5));
  start();
  recorder_->add(events_of(5, 700));
  recorder_.reset();
  EXPECT_EQ(stored(), counted(0, 705));
  EXPECT_EQ(numbers_of(told()), counted(0, 705));
  // With the store away, they are at least told.
  start();
  take_the_table_away();
  recorder_->add(events_of(705, 3));
  recorder_.reset();
  EXPECT_EQ(numbers_of(told()), counted(0, 708));
}

TEST_P(EventRecorderTest, ManyAddAtOnce) {
  constexpr int kThreads = 4, kAdds = 100;
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, i] {
      for (int j = 0; j < kAdds; ++j) {
        recorder_->add({event_of(i * kAdds + j)});
        recorder_->status();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  ASSERT_TRUE(is_idle());
  const auto events = told();
  auto numbers = numbers_of(events);
  EXPECT_EQ(stored(), numbers);  // told in the order of their ids
  std::sort(numbers.begin(), numbers.end());
  EXPECT_EQ(numbers, counted(0, kThreads * kAdds));
}

TEST_P(EventRecorderTest, DropsTheOldestBeyondTheLimit) {
  constexpr int kMost = static_cast<int>(EventRecorder::kMostWaiting);
  take_the_table_away();
  recorder_->add(events_of(0, 10));
  ASSERT_TRUE(becomes_true([&] { return told().size() == 10; }));
  recorder_->add(events_of(10, kMost - 10));
  ASSERT_TRUE(becomes_true([&] { return told().size() == EventRecorder::kMostWaiting; }));
  recorder_->add(events_of(kMost, 7));
  ASSERT_TRUE(becomes_true([&] { return told().size() == EventRecorder::kMostWaiting + 7; }));
  // An attempt may be under way, whose events are not dropped before it ended.
  ASSERT_TRUE(becomes_true([&] { return recorder_->status().waiting == kMost; }));
  EXPECT_EQ(recorder_->status().dropped, 7);
  bring_the_table_back();
  ASSERT_TRUE(is_idle());
  EXPECT_EQ(numbers_of(told()), counted(0, kMost + 7));
  EXPECT_EQ(stored(), counted(7, kMost));
}

// A server that stops and starts again, which is what "away" mostly is.
TEST(EventRecorderServer, ComesBack) {
  auto& server = testing_tools::PostgresServer::shared();
  if (!server.unavailable().empty()) GTEST_SKIP() << server.unavailable();
  Database database(server.create_database());
  MachineEvents store(database);
  std::atomic<int> told = 0, with_id = 0;
  const auto wait_for = [](const std::function<bool()>& condition) {
    for (int i = 0; i < 6000 && !condition(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    return condition();
  };
  EventRecorder recorder(store, [&](const MachineEvent& event) {
    with_id += event.id != 0 ? 1 : 0;
    ++told;
  });
  recorder.add(events_of(0, 1));
  EXPECT_TRUE(wait_for([&] { return told == 1; }));
  server.stop();
  recorder.add(events_of(1, 2));
  EXPECT_TRUE(wait_for([&] { return told == 3; }));
  EXPECT_EQ(with_id, 1);
  server.start();
  EXPECT_TRUE(wait_for([&] { return recorder.status().waiting == 0; }));
  EXPECT_EQ(told, 3);
  EXPECT_EQ(store.query({}).total, 3);
}

}  // namespace
}  // namespace saemill
