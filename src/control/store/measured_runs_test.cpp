#include "control/store/measured_runs.h"

#include <gtest/gtest.h>

#include "common/base/clock.h"
#include "control/store/run_events.h"
#include "control/store/trainings.h"
#include "tests/store_fixture.h"

namespace saemill {
namespace {

class MeasuredRunsTest : public testing_tools::StoreTest {
 protected:
  void SetUp() override {
    testing_tools::StoreTest::SetUp();
    if (!IsSkipped()) database_ = std::make_unique<Database>(url_);
  }
  void add(const std::string& id, TrainingStatus status = TrainingStatus::completed,
           const std::string& server = "server") {
    std::vector<TrainingRow> rows(1);
    rows[0].id = id, rows[0].status = status, rows[0].server_id = server;
    rows[0].config = "{\"of\": \"" + id + "\"}", rows[0].device_uuids = "[\"GPU-1\"]";
    Trainings(*database_).insert(rows);
  }
  // A step of each value, in this attempt.
  void log(const std::string& id, const std::vector<double>& step_ms, int64_t attempt = 1) {
    RunEvents store(*database_);
    std::vector<RunEvent> events;
    for (const double value : step_ms) {
      RunEvent event{.attempt = attempt, .event = "metrics", .data = "", .step = ++step_};
      event.metrics = {{"step_ms", value}, {"loss", 7}};
      if (value > 0) event.metrics.push_back({"data_wait_ms", std::nullopt});
      events.push_back(event);
    }
    RunPosition after = *store.position(id);
    const RunPosition before = after;
    ++after.offset;
    after.attempt = attempt;
    ASSERT_TRUE(store.apply(id, before, after, events));
  }
  static std::vector<double> steps(int64_t count, double value) {
    return std::vector<double>(static_cast<size_t>(count), value);
  }
  std::vector<MeasuredRun> newest() const { return MeasuredRuns(*database_).newest("server"); }

  std::unique_ptr<Database> database_;
  int64_t step_ = 0;
};
SAEMILL_STORE_TESTS(MeasuredRunsTest);

TEST_P(MeasuredRunsTest, MediansOfTheLastSteps) {
  add("a");
  std::vector<double> values = steps(50, 1000);  // before the last ones
  for (int i = 0; i < 20; ++i) values.push_back(i == 3 ? 1e9 : 10 + i);
  log("a", values);
  const auto found = newest();
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].training, "a");
  EXPECT_EQ(found[0].config, "{\"of\": \"a\"}");
  EXPECT_EQ(found[0].device_uuids, "[\"GPU-1\"]");
  EXPECT_EQ(found[0].step_ms, 21);
  EXPECT_FALSE(found[0].data_wait_ms) << "never finite";
  EXPECT_FALSE(found[0].comm_exposed_ms) << "never told";
}

TEST_P(MeasuredRunsTest, OnlyThoseThatSaySomething) {
  add("young"), log("young", steps(19, 5));
  add("restarted"), log("restarted", steps(30, 5)), log("restarted", steps(19, 5), 2);
  add("failed", TrainingStatus::failed), log("failed", steps(30, 5));
  add("elsewhere", TrainingStatus::completed, "other"), log("elsewhere", steps(30, 5));
  add("without metrics");
  EXPECT_TRUE(newest().empty());
  add("running", TrainingStatus::running), log("running", steps(20, 5));
  log("restarted", steps(1, 5), 2);
  const auto found = newest();
  ASSERT_EQ(found.size(), 2U);
  EXPECT_EQ(found[0].training, "running") << "the newest first";
  EXPECT_EQ(found[1].training, "restarted");
}

TEST_P(MeasuredRunsTest, HundredLongRunsAreLookedThroughQuickly) {
  for (int i = 0; i < 110; ++i) {
    add("t" + std::to_string(i));
    step_ = 0;
    log("t" + std::to_string(i), steps(200, i + 1));
  }
  const double begin = monotonic_seconds();
  const auto found = newest();
  EXPECT_LT(monotonic_seconds() - begin, 1);
  RecordProperty("milliseconds", static_cast<int>((monotonic_seconds() - begin) * 1e3));
  ASSERT_EQ(found.size(), static_cast<size_t>(MeasuredRuns::kMost));
  EXPECT_EQ(found[0].step_ms, 110);
}

}  // namespace
}  // namespace saemill
