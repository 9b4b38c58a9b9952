// What a training carries from step to step, in the memory of the arena: weights, moments, counters.
// Everything that a checkpoint holds is here.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <vector>

#include "common/plan/plan.h"
#include "common/protocol/run_config.h"
#include "engine/backend/backend.h"
#include "engine/data/activation_set.h"
#include "engine/model/architecture.h"
#include "engine/train/arena.h"
#include "engine/train/checkpoint.h"

namespace saemill {

// The rows of a micro-batch and the latents that one rank owns: whole tiles and whole chunks.
struct Share {
  int64_t first_row = 0, last_row = 0;
  int64_t first_latent = 0, last_latent = 0;
};

Share share_of(int64_t micro_batch_size, int64_t d_sae, int rank, int ranks);

struct TrainingState {
  TrainingState(const Arena& arena, const Share& share);

  SaeViews weights, m, v;
  PackedViews packed;
  View last_fired;  // activations seen when a latent last fired; 0: never
  Share share;
  int64_t step = 0;         // steps done
  double scale = 1;         // every activation is multiplied by it
  int64_t rows = 0;         // of the activations, which their order depends on; 0: an earlier checkpoint
  double previous_l0 = -1;  // global mean of the step before; decides whether a ReLU step is sparse

  std::vector<CheckpointTensor> row_tensors() const;     // this rank's latents
  std::vector<CheckpointTensor> shared_tensors() const;  // the decoder bias and its moments
  nlohmann::json to_json() const;
  void from_json(const nlohmann::json& json);
};

// What a training takes from its data before the first step: the scale of activations.normalize, and
// sae.decoder_bias_init of a sample of rows. Computed before the state is allocated, for the sample takes
// memory.
struct DataStart {
  double scale = 1;
  std::vector<float> b_dec;
};
DataStart sample_data(const RunConfig& config, const ActivationSet& set);

// Collective. Decoder rows are random unit vectors by (seed, element): each rank makes those of its latents.
// Of `start` only rank 0's is used. `threads` 0: the cores of the affinity mask; the bits are the same.
void initialize_state(TrainingState& state, const RunConfig& config, const Architecture& architecture,
                      const DataStart& start, Backend& backend, Communicator& comm, int threads = 0);

}  // namespace saemill
