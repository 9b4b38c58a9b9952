#include "control/store/run_events.h"

#include <gtest/gtest.h>

#include <thread>

#include "common/base/error.h"
#include "control/store/checkpoints.h"
#include "control/store/training_events.h"
#include "control/store/trainings.h"
#include "tests/store_fixture.h"

namespace saemill {
namespace {

class RunEventsTest : public testing_tools::StoreTest {
 protected:
  void SetUp() override {
    testing_tools::StoreTest::SetUp();
    if (IsSkipped()) return;
    database_ = std::make_unique<Database>(url_);
    store_ = std::make_unique<RunEvents>(*database_);
    std::vector<TrainingRow> rows(1);
    rows[0].id = "a";
    Trainings(*database_).insert(rows);
  }
  static RunEvent loss(int64_t seq, int64_t step, double value) {
    return {.seq = seq,
            .time_ms = seq,
            .attempt = 1,
            .event = "metrics",
            .data = "",
            .step = step,
            .metrics = {{"loss", value}, {"l0", std::nullopt}}};
  }
  static RunEvent saved(int64_t seq, int64_t step) {
    return {.seq = seq,
            .time_ms = seq * 10,
            .event = "checkpoint",
            .data = "{}",
            .step = step,
            .checkpoint = fmt::format("step-{}", step),
            .bytes = step * 100};
  }
  static RunEvent rewind(int64_t seq, int64_t step) {
    return {.seq = seq, .time_ms = seq * 10, .event = "rewind", .data = "{}", .step = step};
  }
  std::vector<std::optional<double>> losses() const {
    return TrainingMetrics(*database_).query({.training = "a", .names = {"loss"}}).metrics[0].mean;
  }

  std::unique_ptr<Database> database_;
  std::unique_ptr<RunEvents> store_;
};
SAEMILL_STORE_TESTS(RunEventsTest);

TEST_P(RunEventsTest, AppliesInOrderAndReplaces) {
  RunEvent started{.seq = 1,
                   .time_ms = 5,
                   .attempt = 1,
                   .event = "started",
                   .data = R"({"x":1})",
                   .step = 0,
                   .total_steps = 40};
  ASSERT_TRUE(store_->apply(
      "a", {}, {.offset = 100, .seq = 7, .attempt = 1},
      {started, loss(2, 10, 1), loss(3, 20, 2), loss(4, 10, 3), saved(5, 10), saved(6, 20), loss(7, 30, 4)}));
  using Losses = std::vector<std::optional<double>>;
  EXPECT_EQ(losses(), (Losses{3, 2, 4}));
  auto row = *Trainings(*database_).find("a");
  EXPECT_EQ(row.current_step, 30);
  EXPECT_EQ(row.total_steps, 40);
  EXPECT_EQ(row.attempt, 1);
  const RunPosition at = *store_->position("a");
  EXPECT_EQ(at.offset, 100);
  EXPECT_EQ(at.seq, 7);

  ASSERT_TRUE(store_->apply("a", at, {.offset = 200, .seq = 10, .attempt = 2},
                            {loss(8, 40, 9), rewind(9, 10), loss(10, 20, 5)}));
  EXPECT_EQ(losses(), (Losses{3, 5}));
  row = *Trainings(*database_).find("a");
  EXPECT_EQ(row.current_step, 20);
  EXPECT_EQ(row.total_steps, 40);
  EXPECT_EQ(row.attempt, 2);
  Checkpoints checkpoints(*database_);
  ASSERT_EQ(checkpoints.list("a").size(), 1U);
  auto all = checkpoints.list("a", true);
  ASSERT_EQ(all.size(), 2U);
  EXPECT_EQ(all[0].bytes, 1000);
  EXPECT_EQ(all[1].name, "step-20");
  EXPECT_EQ(all[1].removed_at, 90);

  ASSERT_TRUE(store_->apply("a", *store_->position("a"), {.offset = 300, .seq = 11}, {saved(11, 20)}));
  EXPECT_EQ(checkpoints.list("a").size(), 2U) << "made again";
  EXPECT_EQ(Trainings(*database_).find("a")->attempt, 2);
  EXPECT_TRUE(checkpoints.remove("a", 10, 5));
  EXPECT_FALSE(checkpoints.remove("a", 10, 6));
  EXPECT_FALSE(checkpoints.remove("a", 11, 6));
  EXPECT_EQ(checkpoints.list("a", true)[0].removed_at, 5);
}

TEST_P(RunEventsTest, ACheckpointTellsWhichOthersAreLeft) {
  RunEvent third = saved(3, 30), sixth = saved(6, 60), last = saved(7, 70);
  third.kept = {{20, 30}};
  sixth.kept = {{5, 30, 60}};  // 5 was never told, and 40 and 50 went while nobody listened
  last.kept.emplace();
  ASSERT_TRUE(store_->apply("a", {}, {.offset = 100, .seq = 3}, {saved(1, 10), saved(2, 20), third}));
  const Checkpoints checkpoints(*database_);
  auto all = checkpoints.list("a", true);
  ASSERT_EQ(all.size(), 3U);
  EXPECT_EQ(all[0].removed_at, 30);
  EXPECT_FALSE(all[1].removed_at);
  EXPECT_FALSE(all[2].removed_at);
  std::vector<TrainingRow> rows(1);
  rows[0].id = "b";
  Trainings(*database_).insert(rows);
  ASSERT_TRUE(store_->apply("b", {}, {.offset = 100, .seq = 1}, {saved(1, 10), saved(2, 80)}));
  ASSERT_TRUE(store_->apply("a", *store_->position("a"), {.offset = 200, .seq = 6},
                            {saved(4, 40), saved(5, 50), saved(5, 80), sixth}));
  all = checkpoints.list("a");
  ASSERT_EQ(all.size(), 3U);
  EXPECT_EQ(all[0].step, 30);
  EXPECT_EQ(all[1].step, 60);
  EXPECT_EQ(all[2].step, 80) << "only earlier steps";
  EXPECT_EQ(checkpoints.list("a", true)[0].removed_at, 30) << "when it was first known";
  ASSERT_TRUE(store_->apply("a", *store_->position("a"), {.offset = 300, .seq = 7}, {last}));
  all = checkpoints.list("a");
  ASSERT_EQ(all.size(), 2U);
  EXPECT_EQ(all[0].step, 70);
  EXPECT_EQ(checkpoints.list("b").size(), 2U) << "another training";
}

TEST_P(RunEventsTest, AChosenRewindEndsItsWish) {
  Trainings trainings(*database_);
  const auto wish = [&](int64_t step) {
    return trainings.update("a", TrainingStatus::queued, {.from_checkpoint = std::optional(step)});
  };
  RunEvent chosen = rewind(2, 10);
  chosen.chosen = true;
  ASSERT_TRUE(wish(10));
  ASSERT_TRUE(store_->apply("a", {}, {.offset = 100, .seq = 1}, {rewind(1, 10)}));
  EXPECT_EQ(trainings.find("a")->from_checkpoint, 10) << "of an attempt before it was asked for";
  ASSERT_TRUE(store_->apply("a", *store_->position("a"), {.offset = 200, .seq = 2}, {chosen}));
  EXPECT_FALSE(trainings.find("a")->from_checkpoint);
  ASSERT_TRUE(wish(20));
  chosen.seq = 3;
  ASSERT_TRUE(store_->apply("a", *store_->position("a"), {.offset = 300, .seq = 3}, {chosen}));
  EXPECT_EQ(trainings.find("a")->from_checkpoint, 20) << "another was chosen since";
}

TEST_P(RunEventsTest, OfTwoWhoBringTheSameOneSucceeds) {
  std::vector<std::thread> readers;
  std::atomic<int> applied = 0;
  for (int i = 0; i < 8; ++i) {
    readers.emplace_back([&] {
      if (store_->apply("a", {}, {.offset = 100, .seq = 2}, {loss(1, 10, 1), saved(2, 10)})) ++applied;
    });
  }
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(applied, 1);
  EXPECT_FALSE(store_->apply("nobody", {}, {.offset = 1}, {}));
}

TEST_P(RunEventsTest, ManyMetricsInOneBatch) {
  std::vector<RunEvent> events;
  for (int64_t step = 1; step <= 1234; ++step) events.push_back(loss(step, step % 700, 0.5));
  ASSERT_TRUE(store_->apply("a", {}, {.offset = 1, .seq = 1234}, events));
  EXPECT_EQ(TrainingMetrics(*database_).query({.training = "a", .buckets = 1000}).step.size(), 700U);
}

TEST_P(RunEventsTest, PagesOfEvents) {
  std::vector<RunEvent> events;
  for (int64_t seq = 1; seq <= 7; ++seq) events.push_back(rewind(seq, 0));
  RunEvent own{.seq = 0, .event = "warning", .data = "1"};
  events.push_back(own);
  own.data = "2";
  events.push_back(own);
  ASSERT_TRUE(store_->apply("a", {}, {.offset = 1, .seq = 7}, events));
  const TrainingEvents stored(*database_);
  const auto since = stored.since("a", 4, 2);
  ASSERT_EQ(since.size(), 2U);
  EXPECT_EQ(since[0].seq, 5);
  EXPECT_EQ(since[1].seq, 6);
  EXPECT_EQ(stored.since("a", -1)[0].data, "2");
  const auto page = stored.newest("a", 2, 3);
  EXPECT_EQ(page.total, 8);
  ASSERT_EQ(page.events.size(), 3U);
  EXPECT_EQ(page.events[0].seq, 4);
  EXPECT_TRUE(stored.newest("a", INT64_MAX).events.empty());
  EXPECT_THROW(stored.newest("a", 0), Error);
  EXPECT_THROW(stored.newest("a", 1, 501), Error);
  EXPECT_THROW(stored.since("a", 0, 0), Error);
}

TEST_P(RunEventsTest, BytesThatAreNoText) {
  const std::string bad("a\0\xff", 3);
  RunEvent metrics{
      .seq = 1, .event = "metrics", .data = "", .step = 1, .metrics = {{bad, 1.0}, {"a??", 2.0}}};
  RunEvent other{.seq = 2, .event = bad, .data = bad};
  RunEvent checkpoint = saved(3, 1);
  checkpoint.checkpoint = bad;
  ASSERT_TRUE(store_->apply("a", {}, {.offset = 1, .seq = 3}, {metrics, other, checkpoint}));
  EXPECT_EQ(TrainingMetrics(*database_).latest("a")[0].value, 2.0);
  EXPECT_EQ(TrainingEvents(*database_).since("a", 1)[0].event, "a??");
  EXPECT_EQ(Checkpoints(*database_).list("a")[0].name, "a??");
}

}  // namespace
}  // namespace saemill
