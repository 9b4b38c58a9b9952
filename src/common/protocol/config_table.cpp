#include "common/protocol/config_table.h"

namespace saemill {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kMaxInt = 9007199254740992.0;  // whole numbers that JSON keeps

#define SAEMILL_AT(member) [](RunConfig& config) -> ConfigValue { return &config.member; }

std::vector<ConfigKey> activations_keys() {
  return {
      {"name", SAEMILL_AT(name), "Name of the run; the folder below runs/ unless --out is given"},
      {"activations.path", SAEMILL_AT(activations.path), "A shard (.safetensors, .npy) or a folder of shards"},
      {"activations.tensor", SAEMILL_AT(activations.tensor), "Tensor name, where a shard holds several"},
      {"activations.normalize", SAEMILL_AT(activations.normalize), "One scale for all activations, folded into the exported SAE",
       0, kInf, {"none", "expected_average_only_in", "mean_square"}},
      {"activations.model_name", SAEMILL_AT(activations.model_name), "Written to cfg.json; empty: from the shard's metadata", 0, kInf, {}, "", "", false},
      {"activations.hook_name", SAEMILL_AT(activations.hook_name), "Written to cfg.json; empty: from the shard's metadata", 0, kInf, {}, "", "", false},
      {"activations.d_in", SAEMILL_AT(activations.d_in), "Width of an activation; 0: from the data", 0, 1 << 24},
  };
}

std::vector<ConfigKey> sae_keys() {
  return {
      {"sae.architecture", SAEMILL_AT(sae.architecture), "What turns pre-activations into a code", 0, kInf, {"topk", "relu"}},
      {"sae.d_sae", SAEMILL_AT(sae.d_sae), "Number of latents; 0: 16 * d_in", 0, 1 << 30, {}, "latents"},
      {"sae.k", SAEMILL_AT(sae.k), "Active latents per activation", 1, 1 << 20, {}, "latents", "topk"},
      {"sae.l1_coefficient", SAEMILL_AT(sae.l1_coefficient), "Weight of the L1 norm of the code in the loss", 0, kInf, {}, "", "relu"},
      {"sae.aux_k", SAEMILL_AT(sae.aux_k), "Dead latents that explain the residual; 0: no auxiliary loss", 0, 1 << 20, {}, "latents", "topk"},
      {"sae.aux_coefficient", SAEMILL_AT(sae.aux_coefficient), "Weight of the auxiliary loss", 0, kInf, {}, "", "topk"},
      {"sae.dead_after", SAEMILL_AT(sae.dead_after), "A latent is dead when it has not fired for so many activations", 1, kMaxInt, {}, "activations"},
      {"sae.unit_norm_decoder", SAEMILL_AT(sae.unit_norm_decoder), "Decoder rows keep norm 1; gradients along them are removed"},
      {"sae.decoder_bias_init", SAEMILL_AT(sae.decoder_bias_init), "Start of the decoder bias", 0, kInf, {"geometric_median", "mean", "zeros"}},
  };
}

std::vector<ConfigKey> train_keys() {
  return {
      {"train.batch_size", SAEMILL_AT(train.batch_size), "Global batch: what the optimizer sees, at any number of devices", 1, 1 << 26, {}, "activations"},
      {"train.batch_size_per_device", SAEMILL_AT(train.batch_size_per_device), "Instead of batch_size: multiplied by the devices", 0, 1 << 26, {}, "activations"},
      {"train.steps", SAEMILL_AT(train.steps), "End after so many steps", 0, kMaxInt, {}, "steps"},
      {"train.tokens", SAEMILL_AT(train.tokens), "End after so many activations", 0, kMaxInt, {}, "activations"},
      {"train.epochs", SAEMILL_AT(train.epochs), "End after so many passes over the data", 0, 1e9, {}, "epochs"},
      {"train.lr", SAEMILL_AT(train.lr), "Learning rate; 0: 2e-4 / sqrt(d_sae / 16384)", 0, 1e3},
      {"train.lr_warmup_steps", SAEMILL_AT(train.lr_warmup_steps), "Linear growth of the learning rate at the start", 0, kMaxInt, {}, "steps"},
      {"train.lr_schedule", SAEMILL_AT(train.lr_schedule), "What the learning rate does at the end", 0, kInf, {"constant", "linear", "cosine"}},
      {"train.lr_decay_steps", SAEMILL_AT(train.lr_decay_steps), "Length of the final decay; 0: all steps after the warm-up", 0, kMaxInt, {}, "steps"},
      {"train.sparsity_warmup_steps", SAEMILL_AT(train.sparsity_warmup_steps), "Linear growth of l1_coefficient at the start", 0, kMaxInt, {}, "steps", "relu"},
      {"train.beta1", SAEMILL_AT(train.beta1), "Adam", 0, 0.9999999},
      {"train.beta2", SAEMILL_AT(train.beta2), "Adam", 0, 0.9999999},
      {"train.epsilon", SAEMILL_AT(train.epsilon), "Adam", 0, 1},
      {"train.clip_norm", SAEMILL_AT(train.clip_norm), "Largest norm of all gradients together; 0: off. Costs a second pass over the latents", 0, kInf},
      {"train.micro_batch_size", SAEMILL_AT(train.micro_batch_size), "Activations in memory at once; 0: by plan. Never changes results", 0, 1 << 26, {}, "activations", "", false},
      {"train.seed", SAEMILL_AT(train.seed), "Of the initial weights and the order of the data", 0, kMaxInt},
      {"train.dtype", SAEMILL_AT(train.dtype), "Of GEMM operands; weights, moments and sums are always f32", 0, kInf, {"bf16", "f32"}},
      {"train.log_every", SAEMILL_AT(train.log_every), "Steps between metrics", 1, kMaxInt, {}, "steps", "", false},
      {"parallel.mode", SAEMILL_AT(parallel.mode), "How ranks share the work", 0, kInf, {"auto", "replicate"}, "", "", false},
      {"checkpoint.every_steps", SAEMILL_AT(checkpoint.every_steps), "Steps between checkpoints; 0: only when asked or interrupted", 0, kMaxInt, {}, "steps", "", false},
      {"checkpoint.keep_last", SAEMILL_AT(checkpoint.keep_last), "Checkpoints kept", 1, 1 << 20, {}, "", "", false},
  };
}

#undef SAEMILL_AT

}  // namespace

const std::vector<ConfigKey>& config_table() {
  static const std::vector<ConfigKey> table = [] {
    std::vector<ConfigKey> all;
    for (const auto& part : {activations_keys(), sae_keys(), train_keys()}) all.insert(all.end(), part.begin(), part.end());
    all.front().changes_results = false;
    return all;
  }();
  return table;
}

}  // namespace saemill
