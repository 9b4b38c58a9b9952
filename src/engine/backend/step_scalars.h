// What varies from step to step, kept in the backend's memory, so that what was enqueued for one step can be
// enqueued again for the next.
#pragma once

#include <cstdint>

namespace saemill {

struct AdamStep {
  double lr = 0, beta1 = 0, beta2 = 0, epsilon = 0;
  int64_t step = 1;  // from 1: bias correction (Kingma and Ba 2015)
};

struct StepScalars {
  AdamStep adam;
  double l1 = 0;     // l1_coefficient / B_global: added to the gradient of active latents
  int64_t seen = 0;  // activations before the step
  int64_t now = 0;   // and after it
};

// Statistics of a row, f64 [R, kRowStats].
enum RowStat : int { kSquaredError, kL1, kL0, kAuxSquaredError, kRowStats };

// What a step adds up, f64 [1, kStepSums]: first the row statistics over the batch.
enum StepSum : int {
  kDeadLatents = kRowStats,  // before the step
  kGradientSquares,          // of all gradients after projection, before clipping
  kClipFactor,               // what gradients are multiplied by
  kStepSums
};

}  // namespace saemill
