// An hour of 16 GPUs on a clock of our own: what was the highest is found again by every query, before and
// after thinning, and after a restart.
#include <algorithm>
#include <map>

#include "common/base/clock.h"
#include "common/base/random.h"
#include "control/monitor/inventory.h"
#include "control/monitor/nvml/nvml_reader.h"
#include "control/monitor/recorder.h"
#include "monitor/scenario.h"

namespace saemill {
namespace {

constexpr int kGpus = 16;
constexpr int64_t kStart = 1'700'000'000;  // of the simulated hour
constexpr int64_t kHour = 3600;

double utilization_at(int gpu, int64_t second) {
  return static_cast<double>(random_bits(static_cast<uint64_t>(gpu), 3, static_cast<uint64_t>(second)) % 101);
}

// The largest of all buckets, and that no bucket is larger than what was measured in it.
void expect_exact(const DeviceHistory& history, int gpu, int64_t from, int64_t to, int64_t buckets) {
  const auto series = history.query(
      {.uuid = gpu_uuid(gpu), .from = from, .to = to, .buckets = buckets, .fields = {"utilization"}});
  ASSERT_LE(static_cast<int64_t>(series.time.size()), buckets);
  ASSERT_EQ(series.fields.size(), 1U);
  double highest = -1, lowest = 1e9, expected_highest = -1, expected_lowest = 1e9;
  for (size_t i = 0; i < series.time.size(); ++i) {
    highest = std::max(highest, series.fields[0].max[i].value_or(-1));
    lowest = std::min(lowest, series.fields[0].min[i].value_or(1e9));
  }
  for (int64_t second = from; second < to; ++second) {
    expected_highest = std::max(expected_highest, utilization_at(gpu, second - kStart));
    expected_lowest = std::min(expected_lowest, utilization_at(gpu, second - kStart));
  }
  EXPECT_EQ(highest, expected_highest) << gpu << " " << from << " " << to;
  EXPECT_EQ(lowest, expected_lowest);
}

TEST(HistoryHour, NoMaximumIsLost) {
  FakeDriver driver;
  driver.load(machine_of(kGpus));
  std::string why;
  auto library = nvml::Library::open(why);
  ASSERT_NE(library, nullptr) << why;
  nvml::Reader reader(library);
  const std::string url = "sqlite:" + (driver.folder() / "saemill.db").string();
  {
    Database database(url);
    DeviceHistory history(database);
    auto devices = reader.read(0, kStart).devices;
    std::vector<HistorySample> batch;
    for (int64_t second = 0; second < kHour; ++second) {
      if (second % 60 == 0)
        devices = reader.read(static_cast<double>(second), static_cast<double>(kStart + second)).devices;
      for (int gpu = 0; gpu < kGpus; ++gpu) {
        devices[static_cast<size_t>(gpu)].utilization = utilization_at(gpu, second);
        devices[static_cast<size_t>(gpu)].current_job = second < kHour / 2 ? "first" : "second";
      }
      for (auto& sample : history_samples(devices, static_cast<double>(kStart + second)))
        batch.push_back(std::move(sample));
      if (second % 60 == 59) history.add(batch), batch.clear();
      if (second % 600 == 599) history.thin(kStart + second);
    }
    for (int gpu = 0; gpu < kGpus; gpu += 5) {
      expect_exact(history, gpu, kStart, kStart + kHour, 60);
      expect_exact(history, gpu, kStart, kStart + kHour, 3600);
      expect_exact(history, gpu, kStart + 600, kStart + 1200, 7);
    }
  }
  Database database(url);  // a restart
  DeviceHistory history(database);
  expect_exact(history, 3, kStart, kStart + kHour, 100);
  const auto halves = history.query({.uuid = gpu_uuid(3),
                                     .from = kStart,
                                     .to = kStart + kHour,
                                     .buckets = 40,
                                     .fields = {"utilization", "memory_used"}});
  EXPECT_EQ(halves.job.front(), "first");
  EXPECT_EQ(halves.job.back(), "second");
  EXPECT_EQ(halves.fields[1].max[0], 4000000.0);
  for (const int64_t later : {2 * kHour, 26 * kHour, 24 * 20 * kHour}) {  // ten-second rows, then minutes
    history.thin(kStart + kHour + later);
    for (int gpu = 0; gpu < kGpus; gpu += 5) expect_exact(history, gpu, kStart, kStart + kHour, 60);
  }
  history.thin(kStart + 32 * 24 * kHour);
  EXPECT_TRUE(
      history.query({.uuid = gpu_uuid(3), .from = kStart, .to = kStart + kHour, .buckets = 60, .fields = {}})
          .time.empty());
}

TEST(Recorder, WritesWhatIsSampledAndThenEnds) {
  FakeDriver driver;
  Database database("sqlite:" + (driver.folder() / "saemill.db").string());
  DeviceHistory history(database);
  Device device;
  device.uuid = gpu_uuid(0);
  const int64_t now = static_cast<int64_t>(epoch_seconds()) - 30;
  {
    Recorder recorder(history);
    for (int second = 0; second < 20; ++second) {
      device.utilization = second == 11 ? 99 : 5;
      recorder.add({device}, static_cast<double>(now + second));
    }
  }  // what waited was written
  const auto series = history.query({.uuid = gpu_uuid(0),
                                     .from = now,
                                     .to = now + 20,
                                     .buckets = 1,
                                     .fields = {"utilization", "temperature"}});
  ASSERT_FALSE(series.time.empty());
  double highest = 0;
  for (const auto& value : series.fields[0].max) highest = std::max(highest, value.value_or(0));
  EXPECT_EQ(highest, 99);
  EXPECT_FALSE(series.fields[1].max[0].has_value());  // the device cannot tell
}

}  // namespace
}  // namespace saemill
