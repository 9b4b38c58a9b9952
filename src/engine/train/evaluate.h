// How good a finished SAE is on given activations.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>

#include "engine/data/activation_set.h"
#include "engine/train/sae_export.h"
#include "engine/train/state.h"

namespace saemill {

struct Evaluation {
  int64_t rows = 0;
  double fvu = 0;            // summed squared error / summed squared deviation from the mean of these rows
  double l0 = 0;             // mean number of positive latents
  double dead_fraction = 0;  // share of latents positive on none of these rows
  double mse = 0;            // mean over rows of the squared error summed over d_in
  double cosine = 0;         // mean cosine of x and x_hat
  nlohmann::ordered_json to_json() const;
};

// The first max_rows rows in file order (0: all), in f32 on a new backend for d_in, d_sae and f32.
// Error{bad_data} where d_in differs.
Evaluation evaluate_sae(const SaeWeights& sae, const ActivationSet& set, int64_t max_rows, Backend& backend);

// The weights of a training, in this process's memory.
struct TrainedWeights {
  std::span<const float> W_enc, W_dec, b_enc, b_dec;
  int64_t d_in = 0, d_sae = 0;
  double scale = 1;  // of activations.normalize
  std::vector<float> memory[4];
};
TrainedWeights weights_of(const TrainingState& state);    // which is in this process's memory
TrainedWeights read_weights(const fs::path& checkpoint);  // a checkpoint's folder

// RUN/sae of these weights.
void export_sae(FileSystem& files, const fs::path& folder, const RunConfig& config,
                const TrainedWeights& weights, const ActivationSet& set);

}  // namespace saemill
