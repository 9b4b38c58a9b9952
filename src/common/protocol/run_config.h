// The configuration of one training: every key, its default, range, unit and source, documented here once.
// TOML for people, the same tree in JSON for REST; config_schema.h serves it as JSON Schema.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "common/base/error.h"

namespace saemill {

struct ActivationsConfig {
  std::string path;    // a shard or a folder of shards
  std::string tensor;  // name in safetensors; empty: the only one
  std::string normalize =
      "none";              // none | expected_average_only_in (E|x| = sqrt(d_in)) | mean_square (E x^2 = 1)
  std::string model_name;  // written to cfg.json; empty: the shard's __metadata__
  std::string hook_name;   // likewise
  int64_t block_rows = 1;  // rows side by side on disk that are read together; 1: each by itself
  int64_t window_blocks = 4096;  // with block_rows above 1: blocks that are mixed with each other
  int64_t d_in = 0;              // an estimate without data; 0: from the data. With data it must agree
};

struct SaeConfig {
  std::string architecture = "topk";  // topk | relu
  int64_t d_sae = 0;                  // number of latents; 0: 16 * d_in
  int64_t k = 32;                     // topk: active latents per activation (Gao et al. 2024)
  double l1_coefficient = 1.0;        // relu: weight of the L1 term (chosen in docs/performance.md)
  int64_t aux_k = 256;                // topk: dead latents used to explain the residual; 0 turns it off
  double aux_coefficient = 0.03125;   // 1/32 (Gao et al. 2024, A.2)
  int64_t dead_after = 10000000;      // activations without firing after which a latent counts as dead
  bool unit_norm_decoder = true;
  std::string decoder_bias_init = "geometric_median";  // geometric_median | mean | zeros
};

struct TrainConfig {
  int64_t batch_size = 4096;          // GLOBAL batch, in activations
  int64_t batch_size_per_device = 0;  // instead of batch_size: multiplied by the number of devices
  int64_t steps = 0;                  // of steps, tokens, epochs at least one; the first reached ends the run
  int64_t tokens = 0;
  double epochs = 0;
  double lr = 0;  // 0: 2e-4 / sqrt(d_sae / 16384) (dictionary_learning's law)
  int64_t lr_warmup_steps = 0;
  std::string lr_schedule = "constant";  // constant | linear | cosine
  int64_t lr_decay_steps =
      0;  // length of the final decay; 0 with linear or cosine: the whole run after warm-up
  int64_t sparsity_warmup_steps = 0;  // relu: l1_coefficient grows linearly from 0
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double clip_norm = 0;          // 0: off
  int64_t micro_batch_size = 0;  // 0: by plan; never changes results of topk
  int64_t seed = 0;
  std::string dtype = "bf16";  // bf16 | f32
  int64_t log_every = 50;
};

struct ParallelConfig {
  std::string mode = "auto";       // auto | replicate
  int64_t exchange_piece_mb = 32;  // GPUs: megabytes (10^6 bytes) of weights sent at a time, at least
  std::string nccl;                // GPUs: variables for NCCL, "NCCL_DEBUG=INFO NCCL_ALGO=Ring"
};

struct DebugConfig {
  int64_t verify_ranks_every = 0;  // steps; 0: never
};

struct CheckpointConfig {
  int64_t every_steps = 1000;  // 0: only when asked or interrupted
  int64_t keep_last = 2;
};

struct RunConfig {
  std::string name = "sae";
  ActivationsConfig activations;
  SaeConfig sae;
  TrainConfig train;
  ParallelConfig parallel;
  CheckpointConfig checkpoint;
  DebugConfig debug;
};

// One thing that is wrong with a configuration.
struct ConfigProblem {
  std::string key;            // "sae.k"; empty: of the configuration as a whole
  std::string code;           // unknown_member | invalid_value | missing | conflict
  std::string message;        // names the key, the value found, and what is accepted
  nlohmann::json value = {};  // found; null: says nothing
  std::string accepted = {};  // empty: says nothing
};

// Error{bad_config} that tells which keys. Its text has one problem on each line.
class ConfigError : public Error {
 public:
  explicit ConfigError(std::vector<ConfigProblem> problems, const std::string& source = "");
  const std::vector<ConfigProblem>& problems() const { return problems_; }

 private:
  std::vector<ConfigProblem> problems_;
};

// Reading. Unknown keys, wrong types, values out of range and contradictions are refused with a ConfigError
// that tells all of them, or the first kMostConfigProblems.
inline constexpr size_t kMostConfigProblems = 20;
RunConfig run_config_from_json(const nlohmann::json& tree);
nlohmann::ordered_json run_config_to_json(const RunConfig& config);  // every key, in the order above

// CONFIG.toml (or .json, by its ending) with "train.lr=3e-4" overrides, not validated: lists and keys that
// nobody knows are in it as they were given.
nlohmann::json load_config_tree(const std::filesystem::path& path, const std::vector<std::string>& overrides);

// The same, validated. A relative activations.path is taken from the current folder.
RunConfig load_run_config(const std::filesystem::path& path, const std::vector<std::string>& overrides);

// Fills what depends on the data and the devices: d_sae, lr, batch_size from batch_size_per_device, steps.
// Afterwards every value is explicit and batch_size_per_device, tokens and epochs are folded into
// batch_size and steps.
RunConfig resolve_run_config(RunConfig config, int64_t d_in, int64_t rows, int64_t device_count);

// The full names of the keys whose values differ and whose change would change the result of a resumed run
// (name, log_every, topk's micro_batch_size and checkpoint.* may differ). Both resolved.
std::vector<std::string> keys_that_change_results(const RunConfig& a, const RunConfig& b);

}  // namespace saemill
