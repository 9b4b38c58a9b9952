#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "common/base/error.h"
#include "common/base/random.h"
#include "control/store/device_history.h"
#include "tests/store_fixture.h"

namespace saemill {
namespace {

constexpr int64_t kNow = 1800000000;
constexpr int64_t kHour = 3600;

HistorySample sample_at(int64_t second, double value, const std::string& job = "") {
  HistorySample sample{"gpu-1", second * 1000 + 500, job, {}};
  sample.values[0] = value;
  sample.values[4] = -value;
  return sample;
}

class HistoryQueryTest : public testing_tools::StoreTest {
 protected:
  void SetUp() override {
    StoreTest::SetUp();
    if (IsSkipped()) return;
    database_ = std::make_unique<Database>(url_);
    history_ = std::make_unique<DeviceHistory>(*database_);
  }
  void TearDown() override {
    history_.reset();
    database_.reset();
    StoreTest::TearDown();
  }
  HistorySeries query(int64_t from, int64_t to, int64_t buckets = 300,
                      std::vector<std::string> fields = {}) const {
    return history_->query(
        {.uuid = "gpu-1", .from = from, .to = to, .buckets = buckets, .fields = std::move(fields)});
  }

  std::unique_ptr<Database> database_;
  std::unique_ptr<DeviceHistory> history_;
};
SAEMILL_STORE_TESTS(HistoryQueryTest);

TEST_P(HistoryQueryTest, AnswersNothingWhereNothingIs) {
  const HistorySeries series = query(kNow, kNow + 60);
  EXPECT_EQ(series.bucket_s, 1);
  EXPECT_TRUE(series.time.empty());
  EXPECT_TRUE(series.job.empty());
  ASSERT_EQ(series.fields.size(), kHistoryFields.size());
  for (size_t i = 0; i < series.fields.size(); ++i) {
    EXPECT_EQ(series.fields[i].name, kHistoryFields[i]);
    EXPECT_TRUE(series.fields[i].mean.empty());
  }
}

TEST_P(HistoryQueryTest, RefusesNonsense) {
  EXPECT_THROW(query(kNow, kNow), Error);
  EXPECT_THROW(query(kNow, kNow - 1), Error);
  EXPECT_THROW(query(kNow, kNow + 1, 0), Error);
  try {
    query(kNow, kNow + 1, 10, {"utilization", "utilisation"});
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::usage);
    EXPECT_NE(std::string(error.what()).find("\"utilisation\""), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find("nvlink_rx"), std::string::npos) << error.what();
  }
}

TEST_P(HistoryQueryTest, GivesTheFieldsAskedForInTheirOrder) {
  history_->add({sample_at(kNow, 1), sample_at(kNow, 2), sample_at(kNow + 1, 3)});
  const HistorySeries series = query(kNow, kNow + 10, 10, {"power_draw", "temperature", "utilization"});
  EXPECT_EQ(series.bucket_s, 1);
  EXPECT_EQ(series.time, (std::vector<int64_t>{kNow, kNow + 1}));
  ASSERT_EQ(series.fields.size(), 3u);
  using Values = std::vector<std::optional<double>>;
  EXPECT_EQ(series.fields[0].min, (Values{-2, -3}));
  EXPECT_EQ(series.fields[0].mean, (Values{-1.5, -3}));
  EXPECT_EQ(series.fields[0].max, (Values{-1, -3}));
  EXPECT_EQ(series.fields[1].name, "temperature");
  EXPECT_EQ(series.fields[1].mean, (Values{std::nullopt, std::nullopt}));
  EXPECT_EQ(series.fields[2].max, (Values{2, 3}));
}

TEST_P(HistoryQueryTest, TheJobIsThatOfMostSamples) {
  std::vector<HistorySample> samples;
  for (int64_t i = 0; i < 10; ++i) samples.push_back(sample_at(kNow + i, 1, i < 4 ? "a" : ""));
  for (int64_t i = 10; i < 20; ++i)
    samples.push_back(sample_at(kNow + i, 1, i < 13 ? "b" : i < 19 ? "c" : ""));
  history_->add(samples);
  for (const int64_t now : {kNow, kNow + 2 * kHour}) {
    history_->thin(now);
    const HistorySeries series = query(kNow, kNow + 20, 2);
    EXPECT_EQ(series.bucket_s, 10);
    EXPECT_EQ(series.job, (std::vector<std::string>{"", "c"}));
  }
}

TEST_P(HistoryQueryTest, ABucketIsNeverFinerThanARowInIt) {
  history_->add({sample_at(kNow - 25 * kHour, 1), sample_at(kNow - 2 * kHour, 2), sample_at(kNow, 3)});
  history_->thin(kNow);
  EXPECT_EQ(query(kNow - 10, kNow + 10).bucket_s, 1);
  EXPECT_EQ(query(kNow - 2 * kHour - 3, kNow - 2 * kHour + 3).bucket_s, 10);
  EXPECT_EQ(query(kNow - 25 * kHour + 30, kNow - 25 * kHour + 40).bucket_s, 60);  // in the middle of a row
  EXPECT_EQ(query(kNow - 25 * kHour + 30, kNow - 25 * kHour + 40).time.size(), 1u);
  const HistorySeries all = query(kNow - 25 * kHour, kNow + 1, 1000000);
  EXPECT_EQ(all.bucket_s, 60);
  EXPECT_EQ(all.time.size(), 3u);
}

TEST_P(HistoryQueryTest, TakesAnyRange) {
  history_->add({sample_at(kNow, 1)});
  constexpr auto kMost = std::numeric_limits<int64_t>::max();
  for (const auto& [from, to] : {std::pair<int64_t, int64_t>{-kMost, kMost}, {0, kMost}, {kNow, kMost}}) {
    EXPECT_EQ(query(from, to, 1).time.size(), 1u) << from << " " << to;
    EXPECT_EQ(query(from, to, kMost).time.size(), 1u) << from << " " << to;
  }
  EXPECT_TRUE(query(-10, -5).time.empty());
  EXPECT_TRUE(query(kMost - 1, kMost).time.empty());
}

struct Expected {
  double min = 0, sum = 0, max = 0, count = 0;
  void add(double value) {
    min = count == 0 ? value : std::min(min, value);
    max = count == 0 ? value : std::max(max, value);
    sum += value;
    ++count;
  }
};

// The samples by bucket, as the series says they must be.
std::map<int64_t, Expected> expected_of(const std::map<int64_t, double>& values, const HistorySeries& series,
                                        int64_t from, int64_t to) {
  const auto row_width = [](int64_t second) {
    return second < (kNow - 24 * kHour) / 60 * 60 ? 60 : second < (kNow - kHour) / 10 * 10 ? 10 : 1;
  };
  std::map<int64_t, Expected> expected;
  for (const auto& [second, value] : values) {
    const int64_t row = second / row_width(second) * row_width(second);
    const bool overlaps = row < to && row + row_width(second) > from;
    if (overlaps) expected[second / series.bucket_s * series.bucket_s].add(value);
  }
  return expected;
}

TEST_P(HistoryQueryTest, AnswersAtMostTheBucketsAskedForAndAllSamples) {
  std::map<int64_t, double> values;
  std::vector<HistorySample> samples;
  uint64_t counter = 0;
  for (const int64_t start : {kNow - 26 * kHour, kNow - 24 * kHour - 300, kNow - kHour - 400, kNow - 900}) {
    for (int64_t second = start; second < start + 800; ++second) {
      if (random_bits(1, 0, ++counter) % 10 == 0) continue;  // gaps
      samples.push_back(sample_at(second, random_normal(1, 1, counter)));
      values[second] = *samples.back().values[0];
    }
  }
  history_->add(samples);
  history_->thin(kNow);
  for (uint64_t i = 0; i < 300; ++i) {
    // Lengths of every magnitude from a second to a day and more.
    const auto length = 1 + static_cast<int64_t>(std::exp(random_uniform(2, 0, i) * std::log(30.0 * kHour)));
    const int64_t from = kNow - 27 * kHour + static_cast<int64_t>(random_bits(2, 1, i) % (27 * kHour));
    const auto buckets = 1 + static_cast<int64_t>(random_bits(2, 2, i) % (i % 2 ? 10 : 400));
    SCOPED_TRACE(fmt::format("from {} to {}, {} buckets", from, from + length, buckets));
    const HistorySeries series = query(from, from + length, buckets, {"utilization"});
    ASSERT_LE(static_cast<int64_t>(series.time.size()), buckets);
    const auto expected = expected_of(values, series, from, from + length);
    ASSERT_EQ(series.time.size(), expected.size());
    size_t at = 0;
    for (const auto& [time, bucket] : expected) {
      ASSERT_EQ(series.time[at], time);
      EXPECT_EQ(series.fields[0].min[at].value(), bucket.min);
      EXPECT_EQ(series.fields[0].max[at].value(), bucket.max);
      EXPECT_NEAR(series.fields[0].mean[at].value(), bucket.sum / bucket.count, 1e-12);
      ++at;
    }
  }
}

}  // namespace
}  // namespace saemill
