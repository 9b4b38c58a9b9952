#include "control/select/device_estimate.h"

#include <gtest/gtest.h>

#include "common/base/error.h"
#include "control/select/selection.h"

namespace saemill {
namespace {

Device device(int index, DeviceKind kind) {
  Device made;
  made.index = index;
  made.kind = kind;
  made.uuid = fmt::format("{}-{:08x}-0000", kind == DeviceKind::cpu ? "CPU" : "GPU", index);
  made.name = kind == DeviceKind::cpu ? "CPU" : "NVIDIA H200";
  return made;
}

Snapshot machine() {
  Snapshot snapshot;
  snapshot.devices = {device(0, DeviceKind::gpu), device(1, DeviceKind::gpu), device(2, DeviceKind::cpu)};
  return snapshot;
}

RunConfig sketch() {
  RunConfig config;
  config.activations.d_in = 64;
  config.sae.d_sae = 1024;
  config.train.steps = 10;
  return config;
}

std::string refused_key(const RunConfig& config, const std::optional<DataShape>& data) {
  try {
    estimate_on(config, data, {}, 4);
  } catch (const ConfigError& error) {
    return error.problems().at(0).key;
  }
  return "";
}

TEST(DeviceEstimate, ThreadsAreDividedAmongRanks) {
  EXPECT_EQ(threads_of_rank(8, 1), 8);
  EXPECT_EQ(threads_of_rank(8, 3), 3);
  EXPECT_EQ(threads_of_rank(2, 3), 1);
}

TEST(DeviceEstimate, TheWidthComesFromTheDataOrTheConfiguration) {
  RunConfig config = sketch();
  const int64_t required = estimate_on(config, {}, {}, 4).memory_required;
  EXPECT_EQ(estimate_on(config, DataShape{1000, 64}, {}, 4).memory_required, required);
  EXPECT_EQ(refused_key(config, DataShape{1000, 65}), "activations.d_in");
  config.activations.d_in = 0;
  EXPECT_EQ(refused_key(config, {}), "activations.path");
  EXPECT_EQ(estimate_on(config, DataShape{1000, 64}, {}, 4).memory_required, required);
}

TEST(DeviceEstimate, TheLengthOfTheRunDoesNotMatter) {
  RunConfig config = sketch();
  const int64_t required = estimate_on(config, {}, {}, 4).memory_required;
  config.train.steps = 0, config.train.tokens = 100'000'000, config.train.epochs = 2;
  config.train.lr_schedule = "linear", config.train.lr_decay_steps = 1000;
  EXPECT_EQ(estimate_on(config, {}, {}, 4).memory_required, required);
  config.train.tokens = 0;
  EXPECT_EQ(estimate_on(config, {}, {}, 4).memory_required, required);
}

TEST(DeviceEstimate, ProductsBeyondCountingAreRefused) {
  RunConfig config = sketch();
  config.activations.d_in = 1 << 24, config.sae.d_sae = 1 << 30;
  EXPECT_EQ(refused_key(config, {}), "sae.d_sae");
}

TEST(DeviceEstimate, TheFirstAreThoseThatAreLeft) {
  Snapshot snapshot;
  snapshot.devices.resize(2);
  snapshot.devices[1].index = 1;
  snapshot.devices[0].left_out = "CUDA_VISIBLE_DEVICES=1";
  EXPECT_EQ(first_names(snapshot, 2), (std::vector<std::string>{"gpu:1", "gpu:2"}));
  snapshot.devices[1].left_out = snapshot.devices[0].left_out;
  EXPECT_EQ(first_names(snapshot, 1), std::vector<std::string>{"cpu:0"});
}

TEST(DeviceEstimate, DevicesAreOfOneKind) {
  const Snapshot snapshot = machine();
  EXPECT_EQ(first_names(snapshot, 2), (std::vector<std::string>{"gpu:0", "gpu:1"}));
  EXPECT_EQ(first_names({}, 1), std::vector<std::string>{"cpu:0"});
  EXPECT_TRUE(of_one_kind(snapshot, {"0", "gpu:7"}));
  EXPECT_FALSE(of_one_kind(snapshot, {"0", "cpu:0"}));
  EXPECT_FALSE(of_one_kind(snapshot, {"gpu:7", "2"}));
  EXPECT_EQ(estimate_devices(snapshot, {"9", "2"}, {}).memory, DeviceMemory::cpu);  // the first that is there
  EXPECT_EQ(estimate_devices(snapshot, {"gpu:7"}, {}).memory, DeviceMemory::gpu);
}

TEST(DeviceEstimate, MeasuredConstantsAreThoseOfTheFirstGpu) {
  const auto measured = [](const Device& gpu, const std::string&) {
    return gpu.index == 1 ? std::optional(DeviceConstants{5, 7}) : std::nullopt;
  };
  EXPECT_TRUE(estimate_devices(machine(), {"gpu:7", "1", "0"}, measured).gpu_measured);
  EXPECT_EQ(estimate_devices(machine(), {"1"}, measured).gpu.context, 5);
  EXPECT_FALSE(estimate_devices(machine(), {"0", "1"}, measured).gpu_measured);
}

TEST(DeviceEstimate, FitsMeansThatValidationFindsNoError) {
  Snapshot snapshot = machine();
  for (Device& one : snapshot.devices) one.availability = Availability::free;
  const EstimateDevices devices = estimate_devices(snapshot, {"0"}, {});
  const Estimate found = estimate_on(sketch(), {}, devices, 4);
  EXPECT_FALSE(to_json(found, devices, {"0"}, snapshot)["devices"][0].contains("fits"));
  const int64_t needed = found.memory_required, margin = memory_margin(DeviceKind::gpu, needed);
  const auto at = [&](int64_t memory_free) {
    snapshot.devices[0].memory_free = memory_free;
    const bool fits = to_json(found, devices, {"0"}, snapshot)["devices"][0]["fits"];
    EXPECT_EQ(fits, validate(snapshot, {"0"}, needed).valid());
    return memory_fit(snapshot.devices[0], needed);
  };
  EXPECT_EQ(at(needed - 1), MemoryFit::too_small);
  EXPECT_EQ(at(needed), MemoryFit::without_margin);
  EXPECT_EQ(at(needed + margin - 1), MemoryFit::without_margin);
  EXPECT_EQ(at(needed + margin), MemoryFit::with_margin);
}

}  // namespace
}  // namespace saemill
