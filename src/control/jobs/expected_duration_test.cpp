#include "control/jobs/expected_duration.h"

#include <gtest/gtest.h>

#include "control/store/measured_run_fixture.h"
#include "tests/store_fixture.h"

namespace saemill {
namespace {

class ExpectedDurationTest : public testing_tools::StoreTest {
 protected:
  void SetUp() override {
    testing_tools::StoreTest::SetUp();
    if (IsSkipped()) return;
    database_ = std::make_unique<Database>(url_);
    for (const char* uuid : {"GPU-0", "GPU-1", "CPU-0"}) {
      Device device;
      device.uuid = uuid;
      device.name = std::string(uuid).substr(0, 3);
      snapshot_.devices.push_back(device);
    }
    config_.activations.d_in = 768, config_.sae.d_sae = 24576, config_.train.batch_size = 4096;
    config_.train.steps = 1000;
    training_.id = "waits", training_.total_steps = 1000;
  }
  void ran(const std::string& id, const std::string& device_uuids, double comm_exposed_ms = 0) {
    const std::string config = run_config_to_json(config_).dump();
    testing_tools::add_measured(*database_, id, config, device_uuids, comm_exposed_ms);
  }
  std::optional<double> expected(const std::vector<std::string>& devices) {
    return ExpectedDuration(MeasuredRuns(*database_), "server")
        .seconds(training_, config_, devices, snapshot_);
  }

  std::unique_ptr<Database> database_;
  Snapshot snapshot_;
  RunConfig config_;
  TrainingRow training_;
};
SAEMILL_STORE_TESTS(ExpectedDurationTest);

TEST_P(ExpectedDurationTest, AsLongAsTheSameTookBefore) {
  EXPECT_FALSE(expected({"GPU-0"})) << "nothing ran here";
  ran("before", R"(["GPU-0"])");  // 100 ms a step
  EXPECT_DOUBLE_EQ(expected({"GPU-0"}).value(), 100);
  EXPECT_DOUBLE_EQ(expected({"GPU-1"}).value(), 100) << "of the same name";
  EXPECT_FALSE(expected({"CPU-0"}));
  EXPECT_FALSE(expected({"GPU-0", "CPU-0"})) << "as the slowest: nobody knows";
  training_.current_step = 900;
  EXPECT_DOUBLE_EQ(expected({"GPU-0"}).value(), 10);
  training_.from_checkpoint = 500;
  EXPECT_DOUBLE_EQ(expected({"GPU-0"}).value(), 50);
  training_.total_steps = 0;
  EXPECT_FALSE(expected({"GPU-0"})) << "its steps are not known";
}

TEST_P(ExpectedDurationTest, ABatchOfEachDeviceGrowsWithThem) {
  ran("before", R"(["GPU-0", "GPU-1"])", 10);
  const double together = expected({"GPU-0", "GPU-1"}).value();
  EXPECT_DOUBLE_EQ(together, 100);
  config_.train.batch_size_per_device = 4096;
  EXPECT_GT(expected({"GPU-0", "GPU-1"}).value(), 1.5 * together);
}

TEST_P(ExpectedDurationTest, WhatWasLearnedIsKeptForAWhile) {
  const MeasuredRuns measured(*database_);
  ExpectedDuration expected(measured, "server");
  const auto ask = [&] { return expected.seconds(training_, config_, {"GPU-0"}, snapshot_); };
  EXPECT_FALSE(ask());
  ran("before", R"(["GPU-0"])");
  EXPECT_FALSE(ask());
}

}  // namespace
}  // namespace saemill
