// Compared with a plain computation over random values.
#include "control/store/training_metrics.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <map>
#include <random>
#include <set>

#include "common/base/clock.h"
#include "common/base/error.h"
#include "control/store/run_events.h"
#include "control/store/trainings.h"
#include "tests/store_fixture.h"

namespace saemill {
namespace {

using Values = std::map<int64_t, std::optional<double>>;  // by step

class TrainingMetricsTest : public testing_tools::StoreTest {
 protected:
  void SetUp() override {
    testing_tools::StoreTest::SetUp();
    if (IsSkipped()) return;
    database_ = std::make_unique<Database>(url_);
    metrics_ = std::make_unique<TrainingMetrics>(*database_);
    std::vector<TrainingRow> rows(2);
    rows[0].id = "a";
    rows[1].id = "b";
    Trainings(*database_).insert(rows);
  }
  void add(const std::string& training, const std::string& name, const Values& values,
           int64_t rank = kAllRanks) {
    RunEvents store(*database_);
    std::vector<RunEvent> events;
    for (const auto& [step, value] : values) {
      events.push_back({.time_ms = step * 1000 + 500,
                        .event = "metrics",
                        .data = "",
                        .step = step,
                        .metrics = {{name, value, rank}}});
    }
    RunPosition after = *store.position(training);
    const RunPosition before = after;
    ++after.offset;
    ASSERT_TRUE(store.apply(training, before, after, events));
  }
  // What the answer must be, given where its buckets begin.
  static void expect_matches(const MetricSeries& series, size_t at, const Values& values, int64_t from,
                             int64_t to) {
    const MetricSeries::Metric& metric = series.metrics[at];
    for (size_t i = 0; i < series.step.size(); ++i) {
      const bool last = i + 1 == series.step.size();
      double sum = 0, count = 0;
      std::optional<double> min, max;
      for (const auto& [step, value] : values) {
        if (step < from || step > to || step < series.step[i] || (!last && step >= series.step[i + 1]))
          continue;
        if (!value) continue;
        min = min ? std::min(*min, *value) : *value;
        max = max ? std::max(*max, *value) : *value;
        sum += *value;
        ++count;
      }
      EXPECT_EQ(metric.min[i], min) << metric.name << " from step " << series.step[i];
      EXPECT_EQ(metric.max[i], max);
      ASSERT_EQ(metric.mean[i].has_value(), count > 0);
      if (count > 0) {
        EXPECT_NEAR(*metric.mean[i], sum / count, 1e-12 * (1 + std::abs(sum)));
      }
    }
  }

  std::unique_ptr<Database> database_;
  std::unique_ptr<TrainingMetrics> metrics_;
};
SAEMILL_STORE_TESTS(TrainingMetricsTest);

TEST_P(TrainingMetricsTest, BucketsOfRandomValues) {
  std::mt19937_64 random(7);
  const auto up_to = [&](int64_t most) {
    return static_cast<int64_t>(random() % static_cast<uint64_t>(most + 1));
  };
  std::map<std::string, Values> model;
  for (const char* name : {"loss", "l0", "fvu"}) {
    for (int i = 0; i < 700; ++i) {
      std::optional<double> value;
      if (up_to(9) > 0) value = static_cast<double>(up_to(1000000)) / 997 - 300;
      model[name][up_to(5000)] = value;
    }
    add("a", name, model[name]);
    add("b", name, {{1, 1e9}, {70000, -1e9}});
    add("a", name, {{3, 1e9}, {90000, -1e9}}, 1);
  }
  for (int round = 0; round < 60; ++round) {
    const int64_t from = round == 0 ? 0 : up_to(5200), to = round == 0 ? kMostStep : from + up_to(3000);
    const int64_t buckets = 1 + up_to(round % 3 == 0 ? 4000 : 60);
    const std::vector<std::string> names = {"l0", "loss"};
    const auto series = metrics_->query(
        {.training = "a", .names = names, .from_step = from, .to_step = to, .buckets = buckets});
    ASSERT_LE(series.step.size(), static_cast<size_t>(buckets));
    ASSERT_EQ(series.time.size(), series.step.size());
    ASSERT_TRUE(std::is_sorted(series.step.begin(), series.step.end()));
    std::set<int64_t> steps;
    for (const std::string& name : names) {
      for (const auto& [step, value] : model[name]) {
        if (step >= from && step <= to) steps.insert(step);
      }
    }
    EXPECT_EQ(series.exact, steps.size() <= static_cast<size_t>(buckets));
    if (series.exact) {
      EXPECT_EQ(series.step, std::vector<int64_t>(steps.begin(), steps.end()));
    }
    if (!steps.empty()) {
      EXPECT_EQ(series.step.front(), *steps.begin());
    }
    for (size_t i = 0; i < series.step.size(); ++i) {
      EXPECT_DOUBLE_EQ(series.time[i], static_cast<double>(series.step[i]) + 0.5);
    }
    for (size_t i = 0; i < names.size(); ++i) {
      ASSERT_EQ(series.metrics[i].name, names[i]);
      expect_matches(series, i, model[names[i]], from, to);
    }
  }
}

TEST_P(TrainingMetricsTest, ARankOfItsOwn) {
  add("a", "step_ms", {{1, 1.0}, {2, 2.0}});
  add("a", "step_ms", {{1, 10.0}}, 0);
  add("a", "step_ms", {{2, 20.0}, {3, std::nullopt}}, 1);
  auto series = metrics_->query({.training = "a"});
  EXPECT_EQ(series.step, (std::vector<int64_t>{1, 2}));
  EXPECT_EQ(series.metrics[0].mean[0], 1.0);
  series = metrics_->query({.training = "a", .rank = 1});
  EXPECT_EQ(series.step, (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(series.metrics[0].mean[0], 20.0);
  EXPECT_FALSE(series.metrics[0].min[1] || series.metrics[0].mean[1] || series.metrics[0].max[1]);
  EXPECT_TRUE(series.exact);
  EXPECT_TRUE(metrics_->query({.training = "a", .rank = 2}).step.empty());
}

TEST_P(TrainingMetricsTest, NamesAndWhatIsLatest) {
  EXPECT_TRUE(metrics_->names("a").empty());
  EXPECT_TRUE(metrics_->latest("a").empty());
  EXPECT_TRUE(metrics_->query({.training = "a"}).step.empty());
  add("a", "loss", {{1, 1.0}, {20, 0.5}, {3, 2.0}});
  add("a", "l0", {{1, 30.0}, {2, std::nullopt}});
  add("a", "of_ranks", {{1, 30.0}}, 1);
  add("b", "other", {{1, 1.0}});
  auto names = metrics_->names("a");
  std::sort(names.begin(), names.end());
  EXPECT_EQ(names, (std::vector<std::string>{"l0", "loss", "of_ranks"}));
  const auto latest = metrics_->latest("a");
  ASSERT_EQ(latest.size(), 2U);
  EXPECT_EQ(latest[0].name, "l0");
  EXPECT_EQ(latest[0].step, 2);
  EXPECT_FALSE(latest[0].value);
  EXPECT_EQ(latest[1].name, "loss");
  EXPECT_EQ(latest[1].step, 20);
  EXPECT_EQ(latest[1].time_ms, 20500);
  EXPECT_EQ(latest[1].value, 0.5);
  const auto of_both = metrics_->latest(std::vector<std::string>{"b", "nobody", "a"});
  ASSERT_EQ(of_both.size(), 2U);
  EXPECT_EQ(of_both.at("b")[0].name, "other");
  ASSERT_EQ(of_both.at("a").size(), 2U);
  EXPECT_EQ(of_both.at("a")[1].value, 0.5);
  EXPECT_TRUE(metrics_->latest(std::vector<std::string>()).empty());
  const auto series = metrics_->query({.training = "a", .names = {"nobody", "loss"}});
  EXPECT_FALSE(series.metrics[0].mean[0]);
  EXPECT_EQ(series.metrics[1].mean[0], 1.0);
}

TEST_P(TrainingMetricsTest, TheLatestOfAPageAreThoseOfEach) {
  std::vector<std::string> ids;
  for (int i = 0; i < 50; ++i) {
    std::vector<TrainingRow> rows(1);
    rows[0].id = ids.emplace_back("t" + std::to_string(i));
    Trainings(*database_).insert(rows);
    for (int name = 0; name < 12; ++name)
      add(ids.back(), "m" + std::to_string(name), {{1, i}, {2, name}, {100 + i, i * name}});
  }
  const double begin = monotonic_seconds();
  auto found = metrics_->latest(ids);
  RecordProperty("microseconds", static_cast<int>((monotonic_seconds() - begin) * 1e6));
  ASSERT_EQ(found.size(), ids.size());
  for (const std::string& id : ids) {
    const auto alone = metrics_->latest(id);
    ASSERT_EQ(alone.size(), 12U);
    for (size_t i = 0; i < alone.size(); ++i) {
      EXPECT_EQ(found[id][i].name, alone[i].name);
      EXPECT_EQ(found[id][i].step, alone[i].step);
      EXPECT_EQ(found[id][i].value, alone[i].value);
    }
  }
}

TEST_P(TrainingMetricsTest, HugeAndTinyValues) {
  const double huge = std::numeric_limits<double>::max(), tiny = std::numeric_limits<double>::denorm_min();
  add("a", "x", {{1, huge}, {2, huge}, {3, huge}, {4, -huge}, {5, tiny}, {kMostStep, tiny}});
  auto series = metrics_->query({.training = "a", .buckets = 1});
  ASSERT_EQ(series.step.size(), 1U);
  EXPECT_EQ(series.metrics[0].min[0], -huge);
  EXPECT_EQ(series.metrics[0].max[0], huge);
  EXPECT_FALSE(series.exact);
  series = metrics_->query({.training = "a"});
  EXPECT_EQ(series.metrics[0].mean.front(), huge);
  EXPECT_EQ(series.metrics[0].mean.back(), tiny);
}

TEST_P(TrainingMetricsTest, RefusesQuestionsWithoutAnswer) {
  EXPECT_THROW(metrics_->query({.training = "a", .buckets = 0}), Error);
  EXPECT_THROW(metrics_->query({.training = "a", .buckets = 10001}), Error);
  EXPECT_THROW(metrics_->query({.training = "a", .from_step = 2, .to_step = 1}), Error);
  EXPECT_THROW(metrics_->query({.training = "a", .names = std::vector<std::string>(101, "x")}), Error);
  const std::string bad("a\0\xff", 3);
  EXPECT_TRUE(metrics_->query({.training = bad, .names = {bad}}).step.empty());
  EXPECT_TRUE(metrics_->names(bad).empty());
  EXPECT_TRUE(metrics_->latest(bad).empty());
}

}  // namespace
}  // namespace saemill
