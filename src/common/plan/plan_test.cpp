#include "common/plan/plan.h"

#include <gtest/gtest.h>

#include "common/base/error.h"
#include "common/plan/estimate.h"
#include "common/plan/tiles.h"

namespace saemill {
namespace {

RunConfig config(const std::string& architecture, const std::string& dtype) {
  RunConfig config;
  config.sae.architecture = architecture;
  config.sae.d_sae = 4096;
  config.train.batch_size = 4096;
  config.train.steps = 1;
  config.train.lr = 1e-3;
  config.train.dtype = dtype;
  return config;
}

int64_t part(const Estimate& estimate, const std::string& name) {
  for (const auto& [category, bytes] : estimate.breakdown)
    if (category == name) return bytes;
  ADD_FAILURE() << "no category " << name;
  return 0;
}

struct Case {
  std::string architecture, dtype;
  int64_t devices;
};

class EstimateOf : public testing::TestWithParam<Case> {};

TEST_P(EstimateOf, IsThePlanAndTheContext) {
  const auto& [architecture, dtype, devices] = GetParam();
  const RunConfig run = config(architecture, dtype);
  const Plan plan = make_plan({run, 256, devices, 2, 0});
  const Estimate whole = estimate({run, 256, devices, 2, {.context = 1000, .communicator = 0}});
  EXPECT_EQ(whole.total, plan.total_bytes() + 1000 * devices);
  int64_t sum = 0;
  for (const auto& [category, bytes] : whole.breakdown) sum += bytes;
  EXPECT_EQ(sum, whole.memory_required);
  EXPECT_NEAR(static_cast<double>(whole.memory_required * devices), static_cast<double>(whole.total),
              64.0 * 40 * static_cast<double>(devices));  // shared buffers are divided, rounding up
  // Weights and moments are one and two copies of both matrices, whatever the type and the number of ranks.
  EXPECT_GE(part(whole, "weights") * devices, 2 * 4096 * 256 * 4);
  EXPECT_GE(part(whole, "moments") * devices, 4 * 4096 * 256 * 4);
  EXPECT_EQ(whole.batch_global, 4096);
  EXPECT_GE(whole.batch_per_device * devices, 4096);
}

INSTANTIATE_TEST_SUITE_P(All, EstimateOf,
                         testing::Values(Case{"topk", "bf16", 1}, Case{"topk", "f32", 1},
                                         Case{"topk", "bf16", 3}, Case{"relu", "bf16", 1},
                                         Case{"relu", "f32", 4}, Case{"topk", "f32", 8}),
                         [](const auto& given) {
                           return given.param.architecture + "_" + given.param.dtype + "_" +
                                  std::to_string(given.param.devices);
                         });

TEST(Estimate, EveryKnobThatTakesMemoryShows) {
  const auto bytes = [](const auto& change) {
    RunConfig run = config("topk", "bf16");
    change(run);
    return estimate({run, 256, 1, 1, {}}).memory_required;
  };
  const int64_t plain = bytes([](RunConfig&) {});
  EXPECT_GT(bytes([](RunConfig& run) { run.sae.d_sae = 8192; }), plain);
  EXPECT_GT(bytes([](RunConfig& run) { run.sae.k = 128; }), plain);
  EXPECT_LT(bytes([](RunConfig& run) { run.sae.aux_k = 0; }), plain);
  EXPECT_GT(bytes([](RunConfig& run) { run.train.batch_size = 8192; }), plain);
  EXPECT_GT(bytes([](RunConfig& run) { run.train.dtype = "f32"; }), plain);
  EXPECT_GT(bytes([](RunConfig& run) { run.sae.d_sae = 16384; }), 3 * plain / 2);
  // Micro-batches trade batch buffers for gradients.
  RunConfig micro = config("topk", "bf16");
  micro.train.micro_batch_size = 512;
  const Estimate parts = estimate({micro, 256, 1, 1, {}});
  EXPECT_EQ(parts.micro_batches, 8);
  EXPECT_GT(part(parts, "gradients"), 2 * 4096 * 256 * 4 - 1);
}

TEST(Estimate, KnowsModelsByName) {
  EXPECT_EQ(model_width("gpt2"), 768);
  EXPECT_EQ(model_width("google/gemma-2-2b"), 2304);
  EXPECT_EQ(model_width("google/gemma-2-9b"), 3584);
  EXPECT_EQ(model_width("meta-llama/Llama-2-7b"), 4096);
  try {
    model_width("gpt5");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::bad_config);
    EXPECT_NE(std::string(error.what()).find("google/gemma-2-2b"), std::string::npos);
  }
}

TEST(Tiles, SharesCoverEverythingOnce) {
  for (int64_t count : {1, 127, 128, 4096, 5000}) {
    for (int64_t parts : {1, 2, 3, 7}) {
      EXPECT_EQ(share_begin(count, kRowTile, 0, parts), 0);
      EXPECT_EQ(share_begin(count, kRowTile, parts, parts), count);
      for (int64_t part = 0; part < parts; ++part)
        EXPECT_LE(share_begin(count, kRowTile, part, parts), share_begin(count, kRowTile, part + 1, parts));
    }
  }
}

// A GPU has its own memory: masters and moments of its latents, copies of all, and nothing of what lies with
// the host.
TEST(GpuPlan, RanksShareMastersAndMoments) {
  RunConfig config;
  config.sae.d_sae = 24576;
  config.train.batch_size = 4096;
  config.train.steps = 1;
  const auto bytes_of = [&](int64_t ranks, const char* category) {
    const RunConfig resolved = resolve_run_config(config, 768, 100000, ranks);
    const Estimate found = estimate({resolved, 768, ranks, 1, gpu_constants(), DeviceMemory::gpu});
    for (const auto& [name, bytes] : found.breakdown)
      if (name == category) return bytes;
    return int64_t{0};
  };
  EXPECT_EQ(bytes_of(1, "moments"), 4 * 24576 * 768 * 4 + 2 * 24576 * 4 + 2 * 768 * 4);
  EXPECT_NEAR(static_cast<double>(bytes_of(4, "moments")) / static_cast<double>(bytes_of(1, "moments")), 0.25,
              0.01);
  EXPECT_EQ(bytes_of(4, "copies"), 2 * 24576 * 768 * 2);
  EXPECT_EQ(bytes_of(1, "context"), gpu_constants().context);
  config.train.dtype = "f32";  // the GEMMs read the masters
  EXPECT_EQ(bytes_of(4, "copies"), 0);
  EXPECT_GT(bytes_of(4, "weights"), 2 * 24576 * 768 * 4);
}

// A GPU's batches lie ready in the host's memory: four, where a CPU has two.
TEST(GpuPlan, TheLoaderHasFourSlots) {
  RunConfig config;
  config.sae.d_sae = 1024;
  config.train.batch_size = 1000;
  config.train.steps = 1;
  const int64_t slot = 512 * 96 * 4;  // of the larger of two shares
  for (const DeviceMemory memory : {DeviceMemory::cpu, DeviceMemory::gpu}) {
    const Plan plan = make_plan({resolve_run_config(config, 96, 100000, 2), 96, 2, 1, 0, memory});
    const bool gpu = memory == DeviceMemory::gpu;
    for (const char* name : {"x.0", "x.1"}) {
      EXPECT_EQ(plan.at(name).bytes(), gpu ? 2 * slot : slot);
      EXPECT_EQ(plan.at(name).host, gpu);
    }
  }
}

}  // namespace
}  // namespace saemill
