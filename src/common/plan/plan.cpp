#include "common/plan/plan.h"

#include <algorithm>

#include "common/base/error.h"
#include "common/plan/gpu_plan.h"
#include "common/plan/tiles.h"

namespace saemill {
namespace {

// Batch buffers beyond this are cut into micro-batches when micro_batch_size is 0.
constexpr int64_t kBatchBudget = int64_t{8} << 30;

int64_t element_size(const std::string& dtype) {
  if (dtype == "F64" || dtype == "I64") return 8;
  if (dtype == "F32" || dtype == "I32") return 4;
  return dtype == "BF16" ? 2 : 1;
}

int64_t choose_micro_batch(const RunConfig& config, int64_t bytes_per_activation) {
  const int64_t batch = config.train.batch_size, asked = config.train.micro_batch_size;
  if (asked != 0) {
    if (asked < batch && (asked % kRowTile != 0 || batch % asked != 0)) {
      const std::string accepted =
          fmt::format("0, or a multiple of {} that divides train.batch_size ({})", kRowTile, batch);
      throw ConfigError(
          {{"train.micro_batch_size", "invalid_value",
            fmt::format("train.micro_batch_size is {}; accepted: {}", asked, accepted), asked, accepted}});
    }
    return std::min(asked, batch);
  }
  int64_t parts = 1;
  while (batch / parts * bytes_per_activation > kBatchBudget && batch % (2 * parts * kRowTile) == 0)
    parts *= 2;
  return batch / parts;
}

struct Builder {
  std::vector<PlannedBuffer>& buffers;
  void shared(const char* name, const char* category, const std::string& dtype, int64_t rows, int64_t cols) {
    buffers.push_back({name, category, dtype, rows, cols});
    buffers.back().shared = true;
  }
  void own(const char* name, const char* category, const std::string& dtype, int64_t rows, int64_t cols) {
    buffers.push_back({name, category, dtype, rows, cols});
  }
};

void add_state(Builder& add, const PlanInput& input, int64_t M, int64_t n) {
  for (const char* name : {"W_enc", "W_dec"}) add.shared(name, "weights", "F32", M, n);
  add.shared("b_enc", "weights", "F32", 1, M);
  add.own("b_dec", "weights", "F32", 1, n);
  for (const char* name : {"m.W_enc", "m.W_dec", "v.W_enc", "v.W_dec"})
    add.shared(name, "moments", "F32", M, n);
  for (const char* name : {"m.b_enc", "v.b_enc"}) add.shared(name, "moments", "F32", 1, M);
  for (const char* name : {"m.b_dec", "v.b_dec"}) add.own(name, "moments", "F32", 1, n);
  add.shared("last_fired", "weights", "I64", 1, M);
  const int64_t chunk = latent_chunk(M), chunks = ceil_div(M, chunk);
  const int64_t size = input.config.train.dtype == "bf16" ? 2 : 4;
  const int64_t packed = input.packed_chunk_bytes ? input.packed_chunk_bytes : round_up(chunk * n * size, 64);
  add.shared("packed.encoder", "copies", "U8", chunks, packed);
  if (input.config.sae.architecture == "relu") {
    add.shared("packed.decoder", "copies", "U8", chunks, round_up(packed + chunk * 64 * size, 64));
    add.shared("packed.decoder_transposed", "copies", "U8", chunks, packed);
  }
}

void add_batch(Builder& add, const PlanInput& input, const Plan& plan, int64_t M, int64_t n) {
  const std::string low = input.config.train.dtype == "bf16" ? "BF16" : "F32";
  const int64_t B = plan.micro_batch_size, padded = round_up(B, kRowTile), k = plan.code_slots,
                a = plan.aux_slots;
  const int64_t row_blocks = ceil_div(B, kBlock), latent_blocks = ceil_div(M, kBlock);
  add.shared("centered", "batch", low, padded, n);
  add.shared("residual", "batch", low, padded, n);
  add.shared("codes.index", "selection", "I32", B, k);
  add.shared("codes.value", "selection", "F32", B, k);
  add.shared("codes.grad", "selection", "F32", B, k);
  if (a > 0) {
    add.shared("aux_residual", "batch", low, padded, n);
    add.shared("aux.index", "selection", "I32", B, a);
    add.shared("aux.value", "selection", "F32", B, a);
    add.shared("aux.grad", "selection", "F32", B, a);
  }
  add.own("dead", "selection", "I32", 1, M + 1);
  add.own("overflow", "selection", "I32", 1, 1);
  add.own("step_scalars", "selection", "U8", 1, 64);  // StepScalars
  add.own("step_sums", "selection", "F64", 1, 7);     // kStepSums
  add.own("bias_sums", "selection", "F64", 1, n);
  add.own("moment_sums", "selection", "F64", 1, n + 1);
  add.shared("row_stats", "exchange", "F64", B, 4);
  add.shared("row_block_sums", "exchange", "F32", row_blocks, n);
  add.shared("data_moments", "exchange", "F64", row_blocks, n + 1);
  add.shared("latent_block_sums", "exchange", "F32", latent_blocks, n);
  add.shared("latent_block_norms", "exchange", "F64", 1, latent_blocks);
  add.shared("signals", "exchange", "F64", 2 * input.ranks, 8);  // of odd and even steps
  const int64_t rows = std::min(B, kRowTile * ceil_div(ceil_div(B, kRowTile), input.ranks));
  for (const char* name : {"x.0", "x.1"}) add.own(name, "loader", "F32", rows, n);
  const int64_t latents = std::min(M, latent_chunk(M) * ceil_div(ceil_div(M, latent_chunk(M)), input.ranks));
  add.own("by_latent.offsets", "selection", "I64", 1, latents + 1);
  add.own("by_latent.positions", "selection", "I32", B, k);
  if (a > 0) {
    add.own("aux_by_latent.offsets", "selection", "I64", 1, latents + 1);
    add.own("aux_by_latent.positions", "selection", "I32", B, a);
  }
  // What a checkpoint copies before it is written: rows of weights, moments and counters; and the decoder
  // bias.
  add.own("checkpoint", "copies", "U8", 1, latents * (6 * n + 3) * 4 + latents * 8 + 3 * n * 4);
  add.own("grad_b_dec", "gradients", "F32", 1, n);
  if (!plan.stores_gradients) return;
  add.own("grad_W_enc", "gradients", "F32", latents, n);
  add.own("grad_W_dec", "gradients", "F32", latents, n);
  add.own("grad_b_enc", "gradients", "F32", 1, latents);
}

// What the threads of a rank keep between calls (src/engine/backend/cpu/cpu_backend.h, ThreadScratch). Rows
// are selected in groups of up to 16 tiles, at least one group for each thread that finds a tile.
int64_t scratch_bytes(const PlanInput& input, const Plan& plan, int64_t M, int64_t n) {
  constexpr int64_t kGroupTiles = 16, kStateBytes = 32;
  const int64_t chunk = latent_chunk(M), size = input.config.train.dtype == "bf16" ? 2 : 4;
  const int64_t tiles = ceil_div(ceil_div(plan.micro_batch_size, kRowTile), input.ranks);
  const int64_t groups = std::max(ceil_div(tiles, kGroupTiles), std::min(tiles, input.threads));
  const int64_t rows = kRowTile * ceil_div(tiles, groups);
  const auto room = [](int64_t k) { return k > 0 ? std::max(2 * k, k + 96) + 16 : 0; };
  const int64_t candidates = rows * (8 * (room(plan.code_slots) + room(plan.aux_slots)) + 2 * kStateBytes);
  const int64_t packing = size == 2 || M % chunk != 0 ? chunk * n * size : 0;
  const int64_t tile = kRowTile * chunk * 4 + 5 * n * 4;
  const bool relu = input.config.sae.architecture == "relu";
  const int64_t dense = relu ? 2 * chunk * n * 4 + kRowTile * (std::max(n, chunk) * 4 + 2 * chunk * size) : 0;
  return std::min(input.threads, groups) * (candidates + tile) + input.threads * (packing + dense);
}

}  // namespace

int64_t PlannedBuffer::bytes() const {
  if (!same_as.empty()) return 0;
  return round_up((owned_rows > 0 ? owned_rows : rows) * cols * element_size(dtype), 64);
}

const PlannedBuffer& Plan::at(const std::string& name) const {
  const auto it =
      std::find_if(buffers.begin(), buffers.end(), [&](const auto& buffer) { return buffer.name == name; });
  if (it == buffers.end()) fail(ErrorCode::internal, "the plan has no buffer {}", name);
  return *it;
}

int64_t Plan::shared_bytes() const {
  int64_t sum = 0;
  for (const auto& buffer : buffers) sum += buffer.shared ? buffer.bytes() : 0;
  return sum;
}

int64_t Plan::bytes_per_rank() const {
  int64_t sum = 0;
  for (const auto& buffer : buffers) sum += buffer.shared ? 0 : buffer.bytes();
  return sum;
}

int64_t Plan::total_bytes() const {
  return shared_bytes() + ranks * bytes_per_rank();
}

nlohmann::ordered_json Plan::to_json() const {
  nlohmann::ordered_json breakdown = nlohmann::ordered_json::object(), list = nlohmann::ordered_json::array();
  for (const auto& buffer : buffers) {
    const int64_t bytes = buffer.bytes() * (buffer.shared ? 1 : ranks);
    breakdown[buffer.category] = breakdown.value(buffer.category, int64_t{0}) + bytes;
    list.push_back({{"name", buffer.name},
                    {"category", buffer.category},
                    {"dtype", buffer.dtype},
                    {"shape", {buffer.rows, buffer.cols}},
                    {"shared", buffer.shared},
                    {"bytes", bytes}});
  }
  return {{"total_bytes", total_bytes()},
          {"micro_batch_size", micro_batch_size},
          {"breakdown", breakdown},
          {"buffers", list}};
}

Plan make_plan(const PlanInput& input) {
  const SaeConfig& sae = input.config.sae;
  const int64_t M = sae.d_sae, n = input.d_in;
  ensure(M >= 1 && n >= 1 && input.ranks >= 1 && input.config.train.batch_size >= 1,
         "a plan of an unresolved configuration");
  Plan plan;
  plan.ranks = input.ranks;
  const bool topk = sae.architecture == "topk";
  plan.code_slots = topk ? std::min(sae.k, M) : std::clamp<int64_t>(2 * sparse_l0_limit(M), 1, M);
  plan.aux_slots = topk && sae.aux_coefficient > 0 ? std::min(sae.aux_k, M) : 0;
  const int64_t low = input.config.train.dtype == "bf16" ? 2 : 4;
  plan.micro_batch_size =
      choose_micro_batch(input.config, n * (3 * low + 8) + 16 * (plan.code_slots + plan.aux_slots));
  plan.stores_gradients = plan.micro_batch_size < input.config.train.batch_size;
  Builder add{plan.buffers};
  add_state(add, input, M, n);
  add_batch(add, input, plan, M, n);
  plan.memory = input.memory;
  if (input.memory == DeviceMemory::gpu) {
    place_on_gpu(input, plan);
    return plan;
  }
  add.own("threads", "selection", "U8", 1, scratch_bytes(input, plan, M, n));
  plan.buffers.back().of_backend = true;
  return plan;
}

}  // namespace saemill
