#include "common/plan/estimate.h"

#include <algorithm>
#include <array>

#include "common/base/error.h"
#include "common/plan/tiles.h"

namespace saemill {
namespace {

constexpr std::array<const char*, 9> kCategories = {"weights",   "moments",  "gradients", "copies", "batch",
                                                    "selection", "exchange", "context",   "loader"};

struct Model {
  const char* name;
  int64_t width;
};
constexpr std::array<Model, 4> kModels{{{"gpt2", 768},
                                        {"google/gemma-2-2b", 2304},
                                        {"google/gemma-2-9b", 3584},
                                        {"meta-llama/Llama-2-7b", 4096}}};

}  // namespace

DeviceConstants cpu_constants() {
  return {.context = 1'400'000, .communicator = 0};  // shared memory needs no buffers of its own
}

DeviceConstants gpu_constants() {
  return {.context = 600'000'000, .communicator = 60'000'000};
}

Estimate estimate(const EstimateInput& input) {
  const bool gpu = input.memory == DeviceMemory::gpu;
  const Plan plan = make_plan({input.config, input.d_in, input.devices, input.threads, 0, input.memory});
  std::map<std::string, int64_t> sums;
  for (const PlannedBuffer& buffer : plan.buffers) {
    if (gpu && (buffer.host || buffer.shared)) continue;  // the host's memory
    sums[buffer.category] += buffer.shared ? ceil_div(buffer.bytes(), input.devices) : buffer.bytes();
  }
  sums["context"] += input.constants.context;
  sums["exchange"] += input.constants.communicator * (input.devices - 1);
  Estimate result;
  for (const char* category : kCategories) {
    result.breakdown.emplace_back(category, sums[category]);
    result.memory_required += sums[category];
  }
  const int64_t constants = input.constants.context + input.constants.communicator * (input.devices - 1);
  result.total =
      gpu ? input.devices * result.memory_required : plan.total_bytes() + input.devices * constants;
  const int64_t batch = input.config.train.batch_size;
  result.batch_global = batch;
  result.batch_per_device = share_begin(batch, kRowTile, 1, input.devices);
  result.micro_batches = batch / plan.micro_batch_size;
  return result;
}

int64_t model_width(const std::string& model) {
  const auto at =
      std::find_if(kModels.begin(), kModels.end(), [&](const Model& known) { return known.name == model; });
  if (at != kModels.end()) return at->width;
  std::string names;
  for (const Model& known : kModels) names += std::string(names.empty() ? "" : ", ") + known.name;
  fail(ErrorCode::bad_config,
       "model \"{}\" is not known; accepted: {}; or activations.d_in in a configuration", model, names);
}

}  // namespace saemill
