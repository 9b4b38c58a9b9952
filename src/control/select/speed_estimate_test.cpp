#include "control/select/speed_estimate.h"

#include <gtest/gtest.h>

namespace saemill {
namespace {

constexpr const char* kH200 = "NVIDIA H200";

SpeedShape shape() {
  return {"topk", "bf16", 1000, 10000, 50, 1600};
}

// That took 100 ms for a step, all of it work.
PastRun run() {
  return {shape(), kH200, 1, 100, 0, 0};
}

double speed_of(const SpeedShape& asked, const std::vector<PastRun>& past, int64_t devices = 1) {
  const auto found = estimate_speed(asked, kH200, devices, past);
  return found ? found->activations_per_second : 0;
}

TEST(SpeedEstimate, WorkAndBytes) {
  // 2 * 1e7 for the encoder, 8 * 1000 * 50 for the rest, 32 * 1e7 / 1600 for the update
  EXPECT_DOUBLE_EQ(work_of_activation(shape()), 2e7 + 4e5 + 2e5);
  SpeedShape relu = shape();
  relu.architecture = "relu";
  EXPECT_DOUBLE_EQ(work_of_activation(relu), 12e7 + 2e5);
  EXPECT_DOUBLE_EQ(exchanged_bytes(shape(), 1), 0);
  EXPECT_DOUBLE_EQ(exchanged_bytes(shape(), 2), (2 * 1600 + 2 * 10000) * 1000 * 2 * 0.5);
  relu.dtype = "f32";
  EXPECT_DOUBLE_EQ(exchanged_bytes(relu, 4), (2 * 1600 + 2 * 10000) * 1000 * 4 * 0.75);
}

TEST(SpeedEstimate, NothingIsKnownOfAnotherDevice) {
  EXPECT_FALSE(estimate_speed(shape(), kH200, 1, {}));
  EXPECT_FALSE(estimate_speed(shape(), "NVIDIA A100", 1, {run()}));
  PastRun senseless = run();
  senseless.data_wait_ms = 100;
  EXPECT_FALSE(estimate_speed(shape(), kH200, 1, {senseless}));
  nlohmann::ordered_json json = nlohmann::ordered_json::object();
  add_speed(json, std::nullopt);
  EXPECT_TRUE(json.empty());
}

TEST(SpeedEstimate, TheSameAgainTakesAsLong) {
  PastRun past = run();
  past.data_wait_ms = 20;
  const auto found = estimate_speed(shape(), kH200, 1, {past});
  ASSERT_TRUE(found);
  EXPECT_NEAR(found->activations_per_second, 16000, 1e-6);
  EXPECT_EQ(found->efficiency, 1);
  EXPECT_EQ(found->based_on, 1);
  SpeedShape wider = shape();
  wider.d_sae = 20000;  // 4e7 + 4e5 + 4e5 against 2.06e7, and the same wait
  EXPECT_NEAR(speed_of(wider, {past}), 1600 / (0.08 * 4.08e7 / 2.06e7 + 0.02), 1e-6);
}

TEST(SpeedEstimate, SeveralDevicesNeedARunWithSeveral) {
  const auto guessed = estimate_speed(shape(), kH200, 4, {run()});
  EXPECT_NEAR(guessed->activations_per_second, 64000, 1e-6) << "as if an exchange cost nothing";
  EXPECT_FALSE(guessed->efficiency);
  PastRun pair = run();  // 50 ms of work for each, and 10 for the exchange
  pair.devices = 2, pair.step_ms = 60, pair.comm_exposed_ms = 10;
  const auto two = estimate_speed(shape(), kH200, 2, {pair});
  EXPECT_NEAR(two->activations_per_second, 1600 / 0.06, 1e-6);
  EXPECT_NEAR(*two->efficiency, 100.0 / 60 / 2, 1e-9);
  EXPECT_NEAR(speed_of(shape(), {pair}), 16000, 1e-6) << "one alone exchanges nothing";
  const auto four = estimate_speed(shape(), kH200, 4, {pair});
  EXPECT_NEAR(four->activations_per_second, 1600 / (0.025 + 0.01 * 0.75 / 0.5), 1e-6);
  nlohmann::ordered_json json = nlohmann::ordered_json::object();
  add_speed(json, four);
  EXPECT_NEAR(json["efficiency"], 0.1 / 0.04 / 4, 1e-9);
  EXPECT_EQ(json["based_on"], 1);
}

TEST(SpeedEstimate, TheNearestCountAndTheirMedian) {
  PastRun relu = run(), f32 = run();
  relu.shape.architecture = "relu", f32.shape.dtype = "f32";
  EXPECT_EQ(estimate_speed(shape(), kH200, 1, {relu, f32})->based_on, 1);
  EXPECT_NEAR(speed_of(shape(), {relu, f32}), 16000, 1e-6) << "the architecture before the dtype";
  std::vector<PastRun> past{relu, f32};
  for (const double step_ms : {100, 110, 90, 1000, 95}) {
    past.push_back(run());
    past.back().step_ms = step_ms;
  }
  PastRun far = run();
  far.shape.d_sae = 100, far.step_ms = 5000;
  past.insert(past.begin(), 10, far);
  const auto found = estimate_speed(shape(), kH200, 1, past);
  EXPECT_EQ(found->based_on, 5);
  EXPECT_NEAR(found->activations_per_second, 16000, 1e-6);
}

}  // namespace
}  // namespace saemill
