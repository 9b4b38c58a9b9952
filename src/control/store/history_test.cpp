// What is stored: adding, thinning. Compared with a model that keeps every sample.
#include <gtest/gtest.h>
#include <soci/soci.h>

#include <algorithm>
#include <limits>
#include <map>
#include <thread>
#include <tuple>

#include "common/base/clock.h"
#include "common/base/random.h"
#include "control/store/device_history.h"
#include "control/store/history_row.h"
#include "tests/store_fixture.h"

namespace saemill {
namespace {

constexpr size_t kFields = kHistoryFields.size();
constexpr int64_t kHour = 3600, kDay = 24 * kHour;
constexpr int64_t kNow = 1800000000;

using Key = std::tuple<std::string, int64_t, int64_t, std::string>;  // uuid, bucket_s, time, job
struct Row {
  int64_t samples = 0;
  std::array<FieldSummary, kFields> fields;
};
using Rows = std::map<Key, Row>;

Rows rows_of(const Database& database) {
  Rows rows;
  database.read([&](soci::session& session) {
    rows.clear();
    std::string uuid, job, columns;
    int64_t bucket_s = 0, time = 0;
    Row row;
    std::array<std::array<soci::indicator, 3>, kFields> indicators{};
    soci::statement statement(session);
    statement.exchange(soci::into(uuid));
    statement.exchange(soci::into(bucket_s));
    statement.exchange(soci::into(time));
    statement.exchange(soci::into(job));
    statement.exchange(soci::into(row.samples));
    for (size_t i = 0; i < kFields; ++i) {
      columns += fmt::format(", {0}_min, {0}_mean, {0}_max, {0}_count", kHistoryFields[i]);
      statement.exchange(soci::into(row.fields[i].min, indicators[i][0]));
      statement.exchange(soci::into(row.fields[i].mean, indicators[i][1]));
      statement.exchange(soci::into(row.fields[i].max, indicators[i][2]));
      statement.exchange(soci::into(row.fields[i].count));
    }
    statement.alloc();
    statement.prepare("SELECT uuid, bucket_s, time, job_id, samples" + columns + " FROM gpu_metrics_history");
    statement.define_and_bind();
    for (bool more = statement.execute(true); more; more = statement.fetch()) {
      for (size_t i = 0; i < kFields; ++i) {
        for (const soci::indicator indicator : indicators[i]) {
          EXPECT_EQ(indicator == soci::i_ok, row.fields[i].count > 0) << "NULL means: not measured";
        }
      }
      rows[{uuid, bucket_s, time, job}] = row;
    }
  });
  return rows;
}

// What the rows must be once everything was thinned at `now`.
Rows model_of(const std::vector<HistorySample>& samples, int64_t now) {
  Rows rows;
  for (const HistorySample& sample : samples) {
    const int64_t second = sample.time_ms / 1000;
    if (second < (now - 30 * kDay) / 60 * 60) continue;
    const int64_t bucket_s = second < (now - kDay) / 60 * 60 ? 60 : second < (now - kHour) / 10 * 10 ? 10 : 1;
    Row& row = rows[{sample.uuid, bucket_s, second / bucket_s * bucket_s, sample.job_id}];
    ++row.samples;
    for (size_t i = 0; i < kFields; ++i) {
      if (sample.values[i]) row.fields[i].merge({*sample.values[i], *sample.values[i], *sample.values[i], 1});
    }
  }
  return rows;
}

void expect_same(const Rows& found, const Rows& expected) {
  ASSERT_EQ(found.size(), expected.size());
  for (auto a = found.begin(), b = expected.begin(); a != found.end(); ++a, ++b) {
    const auto& [uuid, bucket_s, time, job] = b->first;
    SCOPED_TRACE(fmt::format("{} {} s at {} of \"{}\"", uuid, bucket_s, time, job));
    ASSERT_EQ(a->first, b->first);
    EXPECT_EQ(a->second.samples, b->second.samples);
    for (size_t i = 0; i < kFields; ++i) {
      const FieldSummary &is = a->second.fields[i], &should = b->second.fields[i];
      ASSERT_EQ(is.count, should.count) << kHistoryFields[i];
      if (should.count == 0) continue;
      EXPECT_EQ(is.min, should.min) << kHistoryFields[i];
      EXPECT_EQ(is.max, should.max) << kHistoryFields[i];
      EXPECT_NEAR(is.mean, should.mean, 1e-12 * std::abs(should.mean)) << kHistoryFields[i];
    }
  }
}

HistorySample sample_at(const std::string& uuid, int64_t time_ms, const std::string& job, uint64_t counter) {
  HistorySample sample{uuid, time_ms, job, {}};
  for (size_t i = 0; i < kFields; ++i) {
    // The last field is never measured, another one only sometimes.
    if (i == kFields - 1 || (i == 3 && random_bits(7, 3, counter) % 3 == 0)) continue;
    sample.values[i] = 1e9 * random_uniform(7, i, counter);
  }
  return sample;
}

class HistoryTest : public testing_tools::StoreTest {
 protected:
  void SetUp() override {
    StoreTest::SetUp();
    if (IsSkipped()) return;
    reopen();
  }
  void TearDown() override {
    history_.reset();
    database_.reset();
    StoreTest::TearDown();
  }
  void reopen() {
    history_.reset();
    database_ = std::make_unique<Database>(url_);
    history_ = std::make_unique<DeviceHistory>(*database_);
  }

  std::unique_ptr<Database> database_;
  std::unique_ptr<DeviceHistory> history_;
};
SAEMILL_STORE_TESTS(HistoryTest);

TEST_P(HistoryTest, MergesWithinASecond) {
  std::vector<HistorySample> all;
  // Of one second, some come together and some later; of the same second but another job, apart.
  for (uint64_t i = 0; i < 40; ++i) {
    all.push_back(sample_at(i % 2 ? "gpu-1" : "gpu-2", kNow * 1000 + static_cast<int64_t>(i) * 99,
                            i % 5 ? "job-1" : "", i));
  }
  history_->add({all.begin(), all.begin() + 7});
  history_->add({});
  for (size_t i = 7; i < all.size(); ++i) history_->add({all[i]});
  expect_same(rows_of(*database_), model_of(all, kNow));
}

TEST_P(HistoryTest, ANumberThatIsNoneWasNotMeasured) {
  HistorySample sample{"gpu-1", kNow * 1000, "", {}};
  history_->add({sample});
  sample.values[0] = std::numeric_limits<double>::quiet_NaN();
  sample.values[1] = std::numeric_limits<double>::infinity();
  sample.values[2] = 0.1;
  history_->add({sample});
  const Rows rows = rows_of(*database_);
  ASSERT_EQ(rows.size(), 1u);
  const Row& row = rows.begin()->second;
  EXPECT_EQ(row.samples, 2);
  EXPECT_EQ(row.fields[0].count, 0);
  EXPECT_EQ(row.fields[1].count, 0);
  EXPECT_EQ(row.fields[2].count, 1);
  EXPECT_EQ(row.fields[2].mean, 0.1);
}

TEST_P(HistoryTest, ThinningKeepsMinMeanAndMax) {
  std::vector<HistorySample> all;
  uint64_t counter = 0;
  // Bursts at random times of a month and more, and around each border.
  for (uint64_t burst = 0; burst < 40; ++burst) {
    const int64_t ages[] = {kHour, kDay, 30 * kDay,
                            static_cast<int64_t>(random_bits(3, 0, burst) % (31 * kDay))};
    const int64_t start = kNow - ages[burst % 4] - 40;
    const auto seconds = static_cast<int64_t>(10 + random_bits(3, 1, burst) % 80);
    for (int64_t second = start; second < start + seconds; ++second) {
      for (const char* uuid : {"gpu-1", "gpu-2"}) {
        const std::string job = random_bits(3, 2, counter) % 7 ? fmt::format("job-{}", burst % 3) : "";
        all.push_back(sample_at(uuid, second * 1000 + 137, job, counter++));
      }
    }
  }
  history_->add(all);
  for (const int64_t now : {kNow - 3 * kDay, kNow - kHour, kNow - 7, kNow, kNow, kNow + 61, kNow + kDay}) {
    history_->thin(now);
    SCOPED_TRACE(now - kNow);
    expect_same(rows_of(*database_), model_of(all, now));
    if (HasFailure()) return;
  }
  history_->thin(kNow + 32 * kDay);
  EXPECT_TRUE(rows_of(*database_).empty());
}

TEST_P(HistoryTest, RestartsLoseNothing) {
  std::vector<HistorySample> all;
  for (uint64_t i = 0; i < 100; ++i) {
    all.push_back(sample_at("gpu-1", (kNow - kHour - 50) * 1000 + static_cast<int64_t>(i) * 700, "job", i));
    history_->add({all.back()});
    if (i % 20 == 10) reopen();
    if (i % 20 == 15) history_->thin(kNow);
  }
  history_->thin(kNow);
  reopen();
  expect_same(rows_of(*database_), model_of(all, kNow));
}

// Several servers that share a database thin it, while late samples come in.
TEST_P(HistoryTest, ThinningByManyCountsEverySampleOnce) {
  std::vector<HistorySample> all;
  for (uint64_t i = 0; i < 6000; ++i) {
    all.push_back(sample_at(fmt::format("gpu-{}", i % 4),
                            (kNow - 2 * kHour) * 1000 + static_cast<int64_t>(i) * 300, "job", i));
  }
  const auto middle = all.begin() + 4000;
  history_->add({all.begin(), middle});
  std::vector<std::thread> threads;
  for (int server = 0; server < 3; ++server) {
    threads.emplace_back([&] {
      Database database(url_);
      DeviceHistory history(database);
      for (int i = 0; i < 5; ++i) history.thin(kNow);
    });
  }
  for (auto late = middle; late != all.end(); late += 100) history_->add({late, late + 100});
  for (std::thread& thread : threads) thread.join();
  history_->thin(kNow);
  expect_same(rows_of(*database_), model_of(all, kNow));
}

TEST_P(HistoryTest, TwoHoursOfSixteenDevices) {
  double add_seconds = 0;
  uint64_t counter = 0;
  const auto second_of = [&](int64_t second, std::vector<HistorySample>& samples) {
    for (int device = 0; device < 16; ++device) {
      samples.push_back(sample_at(fmt::format("GPU-{:036}", device), second * 1000, "job", counter++));
    }
  };
  constexpr int kTimed = 200;
  for (int64_t second = kNow - 2 * kHour; second < kNow;) {
    std::vector<HistorySample> samples;
    const bool timed = second >= kNow - kTimed;
    for (int i = 0; i < (timed ? 1 : 100); ++i) second_of(second++, samples);
    const double begin = monotonic_seconds();
    history_->add(samples);
    if (timed) add_seconds += monotonic_seconds() - begin;
  }
  double begin = monotonic_seconds();
  history_->thin(kNow);
  const double thin_seconds = monotonic_seconds() - begin;
  begin = monotonic_seconds();
  const HistorySeries series = history_->query(
      {.uuid = fmt::format("GPU-{:036}", 3), .from = kNow - 2 * kHour, .to = kNow, .fields = {}});
  const double query_seconds = monotonic_seconds() - begin;
  EXPECT_EQ(series.bucket_s, 30);
  EXPECT_EQ(series.time.size(), 240u);
  const Rows rows = rows_of(*database_);
  EXPECT_EQ(rows.size(), static_cast<size_t>(16 * (kHour + kHour / 10)));
  std::printf("add of 16 samples %.2f ms, thinning of an hour %.0f ms, query of 2 hours %.1f ms\n",
              1e3 * add_seconds / kTimed, 1e3 * thin_seconds, 1e3 * query_seconds);
}

}  // namespace
}  // namespace saemill
