#include "engine/train/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace saemill {

double learning_rate(const TrainConfig& train, int64_t step) {
  const auto at = static_cast<double>(step);
  double rate = train.lr;
  if (step < train.lr_warmup_steps) rate *= (at + 1) / static_cast<double>(train.lr_warmup_steps);
  const int64_t decay_start = train.steps - train.lr_decay_steps;
  if (train.lr_schedule == "constant" || train.lr_decay_steps <= 0 || step < decay_start) return rate;
  const double done = static_cast<double>(step - decay_start) / static_cast<double>(train.lr_decay_steps);
  return rate * (train.lr_schedule == "linear" ? 1 - done : 0.5 * (1 + std::cos(std::numbers::pi * done)));
}

double l1_weight(const RunConfig& config, int64_t step) {
  if (config.sae.architecture != "relu") return 0;
  const int64_t warmup = config.train.sparsity_warmup_steps;
  const double share =
      warmup > 0 ? std::min(1.0, static_cast<double>(step + 1) / static_cast<double>(warmup)) : 1.0;
  return config.sae.l1_coefficient * share;
}

}  // namespace saemill
