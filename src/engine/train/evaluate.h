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

// The first max_rows rows in file order (0: all), in f32 on the CPU backend. Error{bad_data} where d_in
// differs.
Evaluation evaluate_sae(const SaeWeights& sae, const ActivationSet& set, int64_t max_rows, int threads);

// RUN/sae of this state.
void export_sae(FileSystem& files, const fs::path& folder, const RunConfig& config,
                const TrainingState& state, const ActivationSet& set);

}  // namespace saemill
