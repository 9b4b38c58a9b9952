// A finished SAE as SAELens reads it: cfg.json and sae_weights.safetensors in one folder.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "common/base/file.h"

namespace saemill {

// Memory is the caller's, row-major, by latent. The scale of activations.normalize is already folded into the
// weights.
struct SaeExport {
  std::string architecture;  // "topk" or "relu" (which SAELens calls "standard")
  int64_t k = 0;             // topk only
  int64_t d_in = 0;
  int64_t d_sae = 0;
  std::span<const float> W_enc;  // [d_sae, d_in]
  std::span<const float> W_dec;  // [d_sae, d_in]
  std::span<const float> b_enc;  // [d_sae]
  std::span<const float> b_dec;  // [d_in]
  std::string model_name;        // "": unknown
  std::string hook_name;
};

// Writes beside `folder` (RUN/sae), syncs, renames; replaces what is there. Equal input gives equal bytes: no
// time, host, path or rank count goes in. Error{retry} when the disk refuses.
void write_sae(FileSystem& files, const fs::path& folder, const SaeExport& sae);

struct SaeWeights {
  std::string architecture;  // "topk" or "relu"
  int64_t k = 0;
  int64_t d_in = 0;
  int64_t d_sae = 0;
  std::vector<float> W_enc;  // [d_sae, d_in], as we compute with it
  std::vector<float> W_dec;
  std::vector<float> b_enc;
  std::vector<float> b_dec;
  nlohmann::json cfg;  // all of cfg.json
};

// Error{bad_data} names the file, what was found and what is accepted: also for settings that would make the
// numbers mean something else here.
SaeWeights read_sae(const fs::path& folder);

}  // namespace saemill
