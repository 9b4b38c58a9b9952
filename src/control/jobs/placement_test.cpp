#include "control/jobs/placement.h"

#include <gtest/gtest.h>

#include "common/base/proc.h"
#include "control/jobs/job_launch.h"

namespace saemill {
namespace {

Device gpu(int index, Availability availability) {
  Device device;
  device.index = index;
  device.uuid = "GPU-" + std::to_string(index);
  device.name = "GPU";
  device.memory_total = device.memory_free = int64_t{80} << 30;
  device.availability = availability;
  return device;
}

Snapshot machine(std::vector<Availability> gpus) {
  Snapshot snapshot;
  for (size_t i = 0; i < gpus.size(); ++i) snapshot.devices.push_back(gpu(static_cast<int>(i), gpus[i]));
  return snapshot;
}

TrainingRow asked(int64_t count) {
  RunConfig config;
  config.activations.d_in = 768;
  config.sae.d_sae = 24576;
  config.train.steps = 10;
  TrainingRow row;
  row.id = "a";
  row.config = run_config_to_json(config).dump();
  row.device_count = count;
  return row;
}

class PlacementTest : public ::testing::Test {
 protected:
  std::optional<double> expected_;
  Placement placement_{[](const Device&, const std::string&) { return std::optional<DeviceConstants>(); },
                       [this](const auto&...) { return expected_; }};
};

using enum Availability;

TEST_F(PlacementTest, ItsDurationIsItsOwnThenTheExpectedOneAndAtMostItsLimit) {
  const Snapshot here = machine({free});
  TrainingRow row = asked(1);
  EXPECT_EQ(placement_.waiting(row, here).duration, std::nullopt);
  expected_ = 100;
  EXPECT_EQ(placement_.waiting(row, here).duration, 100);
  EXPECT_EQ(placement_.waiting(row, here, 200).duration, 200);
  row.time_limit_s = 150;
  EXPECT_EQ(placement_.waiting(row, here).duration, 100);
  EXPECT_EQ(placement_.waiting(row, here, 200).duration, 150);
  expected_.reset();
  EXPECT_EQ(placement_.waiting(row, here).duration, 150);
}

TEST_F(PlacementTest, FewerDevicesOnlyAfterARestartAndOnlyWhereTheyAreGone) {
  const Snapshot all = machine({leased, leased, free, foreign}),
                 lost_one = machine({leased, lost, free, free});
  TrainingRow row = asked(4);
  EXPECT_EQ(placement_.waiting(row, lost_one).count, 4) << "it never ran: it waits for what it asked";
  row.restarts = 1;
  EXPECT_EQ(placement_.waiting(row, all).count, 4) << "busy ones come back";
  EXPECT_EQ(placement_.waiting(row, lost_one).count, 3);
  EXPECT_EQ(placement_.waiting(row, machine({lost, unhealthy})).count, 1);

  row.asked_gpu_ids = R"(["GPU-0", "GPU-1"])";
  EXPECT_EQ(placement_.waiting(row, lost_one).devices, (std::vector<std::string>{"GPU-0"}));
  EXPECT_EQ(placement_.waiting(row, all).devices.size(), 2u);
  EXPECT_EQ(placement_.waiting(row, machine({lost, lost})).devices.size(), 2u) << "it waits for them";
}

TEST_F(PlacementTest, MemoryDependsOnHowManyShareIt) {
  const Snapshot snapshot = machine({free, free});
  TrainingRow one = asked(1), two = asked(2);
  two.id = "b";
  const int64_t alone = placement_.waiting(one, snapshot).memory,
                shared = placement_.waiting(two, snapshot).memory;
  EXPECT_GT(alone, int64_t{24576} * 768 * 4 * 2 * 3);
  EXPECT_NE(shared, alone);
  EXPECT_GT(shared, 0);
}

TEST_F(PlacementTest, TimeLimitIsThePrediction) {
  TrainingRow row = asked(1);
  EXPECT_FALSE(placement_.waiting(row, machine({free})).duration);
  row.time_limit_s = 60;
  EXPECT_EQ(placement_.waiting(row, machine({free})).duration, 60);
}

TEST(JobLaunch, CoresOfSlotsAreShares) {
  Snapshot snapshot;
  const auto all = allowed_cores();
  for (size_t i = 0; i < all.size(); ++i) {
    Device slot = gpu(static_cast<int>(i), free);
    slot.kind = DeviceKind::cpu;
    slot.uuid = "CPU-" + std::to_string(i);
    snapshot.devices.push_back(slot);
  }
  EXPECT_EQ(cores_of({"CPU-0"}, snapshot), (std::vector<int>{all.front()}));
  std::vector<std::string> every;
  for (const Device& slot : snapshot.devices) every.push_back(slot.uuid);
  EXPECT_EQ(cores_of(every, snapshot), all);
  EXPECT_TRUE(cores_of({"GPU-0"}, snapshot).empty());
  Device more = snapshot.devices.front();
  more.uuid = "CPU-more";
  snapshot.devices.push_back(more);
  EXPECT_EQ(cores_of({"CPU-0"}, snapshot), (std::vector<int>{all.front()})) << "more slots than cores";
  EXPECT_EQ(cores_of({"CPU-more"}, snapshot), (std::vector<int>{all.back()}));
}

}  // namespace
}  // namespace saemill
