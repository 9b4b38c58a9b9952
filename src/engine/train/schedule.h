// Learning rate and sparsity weight as functions of the step (from 0).
#pragma once

#include "common/protocol/run_config.h"

namespace saemill {

// Linear warm-up over lr_warmup_steps, then constant, and over the last lr_decay_steps linear to 0 or a half
// cosine to 0.
double learning_rate(const TrainConfig& train, int64_t step);

// l1_coefficient, growing linearly from 0 over sparsity_warmup_steps.
double l1_weight(const RunConfig& config, int64_t step);

}  // namespace saemill
