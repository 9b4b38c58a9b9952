#include "common/plan/gpu_plan.h"

#include <algorithm>

#include "common/plan/gpu_scratch.h"
#include "common/plan/tiles.h"

namespace saemill {
namespace {

// Batches that lie ready or are being filled, beside the one that is copied to the device. A step is short
// beside what may hold up a thread that reads.
constexpr int64_t kLoaderSlots = 4;

bool is_one_of(const std::string& name, std::initializer_list<const char*> names) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// Low-precision copies, row after row.
void add_copies(const PlanInput& input, Plan& plan) {
  const int64_t M = input.config.sae.d_sae, chunk = latent_chunk(M);
  const bool bf16 = input.config.train.dtype == "bf16";
  for (const char* matrix : {"encoder", "decoder"}) {
    PlannedBuffer copy{std::string("packed.") + matrix, "copies", "U8", ceil_div(M, chunk),
                       chunk * input.d_in * (bf16 ? 2 : 4)};
    if (!bf16) copy.same_as = matrix == std::string("encoder") ? "W_enc" : "W_dec";
    plan.buffers.push_back(copy);
  }
}

void add_scratch(const PlanInput& input, Plan& plan, int64_t latents) {
  const int64_t tiles = ceil_div(plan.micro_batch_size, kRowTile);
  const int64_t rows = std::min(plan.micro_batch_size, kRowTile * ceil_div(tiles, input.ranks));
  const GpuScratch scratch = gpu_scratch(
      {input.d_in, input.config.sae.d_sae, rows, plan.micro_batch_size, plan.code_slots, plan.aux_slots,
       latents, input.config.sae.architecture == "relu", input.config.train.dtype == "bf16" ? 2 : 4});
  const std::pair<const char*, std::pair<const char*, int64_t>> regions[] = {
      {"x.staged", {"loader", scratch.staged}},
      {"pre_activations", {"selection", scratch.pre}},
      {"dense", {"selection", scratch.dense}},
      {"candidates", {"selection", scratch.select + scratch.aux_select}},
      {"grouping", {"selection", scratch.group + scratch.pieces}},
      {"latent_sums", {"gradients", scratch.latents}},
      {"gemm", {"selection", scratch.gemm}},
      {"small", {"selection", scratch.small}}};
  for (const auto& [name, region] : regions) {
    if (region.second == 0) continue;
    PlannedBuffer buffer{name, region.first, "U8", 1, region.second};
    buffer.of_backend = true;
    plan.buffers.push_back(buffer);
  }
}

}  // namespace

void place_on_gpu(const PlanInput& input, Plan& plan) {
  const int64_t M = input.config.sae.d_sae, chunk = latent_chunk(M);
  const int64_t latents = std::min(M, chunk * ceil_div(ceil_div(M, chunk), input.ranks));
  const bool bf16 = input.config.train.dtype == "bf16";
  std::erase_if(plan.buffers, [](const auto& buffer) { return buffer.name.starts_with("packed."); });
  for (PlannedBuffer& buffer : plan.buffers) {
    buffer.shared = buffer.name == "signals";
    if (is_one_of(buffer.name, {"x.0", "x.1"})) buffer.rows *= kLoaderSlots / 2;  // each holds half of them
    buffer.host = is_one_of(buffer.name, {"signals", "x.0", "x.1", "checkpoint"});
    const bool moment = is_one_of(buffer.name, {"m.W_enc", "m.W_dec", "v.W_enc", "v.W_dec"});
    if (moment || (bf16 && is_one_of(buffer.name, {"W_enc", "W_dec"}))) buffer.owned_rows = latents;
  }
  add_copies(input, plan);
  add_scratch(input, plan, latents);
}

}  // namespace saemill
