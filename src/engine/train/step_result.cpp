// What a step came to, as the device summed it up.
#include <algorithm>
#include <array>
#include <cmath>

#include "engine/train/step.h"

namespace saemill {

void Step::check_finite(double mse) const {
  if (!std::isfinite(mse))
    fail(ErrorCode::bad_data, "step {}: the loss is not finite ({}); a lower train.lr may help", state_.step,
         mse);
}

void Step::ensure_finite() const {
  double error = 0;
  backend_.read(&error, sums_.as<double>() + kSquaredError, sizeof error);
  check_finite(error / static_cast<double>(config_.train.batch_size));
}

// A latent is dead dead_after activations after it fired, so none can be before the one that has waited
// longest is. Until then steps of an asynchronous backend, whose host does not know how many there are, are
// spared the auxiliary loss of none. The same on all ranks, as the counters are.
void Step::look_for_oldest() {
  exchange_.await_all();
  std::vector<int64_t> fired(static_cast<size_t>(state_.last_fired.cols));
  backend_.read(fired.data(), state_.last_fired.data, fired.size() * sizeof(int64_t));
  none_dies_before_ = *std::min_element(fired.begin(), fired.end()) + config_.sae.dead_after;
}

void Step::read_result(const StepInput& input, StepResult& result) {
  const auto batch = static_cast<double>(config_.train.batch_size);
  std::array<double, kStepSums> sums{};
  backend_.read(sums.data(), sums_.data, sizeof sums);
  result.known = true;
  result.mse = sums[kSquaredError] / batch;
  result.l1_norm = sums[kL1] / batch;
  result.l0 = sums[kL0] / batch;
  result.aux_mse = sums[kAuxSquaredError] / batch;
  result.dead = static_cast<int64_t>(sums[kDeadLatents]);
  result.grad_norm = std::sqrt(sums[kGradientSquares]);
  if (!input.log) return;
  if (backend_.is_asynchronous() && result.dead == 0) look_for_oldest();
  std::vector<double> moments(static_cast<size_t>(moment_sums_.cols));
  backend_.read(moments.data(), moment_sums_.data, moments.size() * sizeof(double));
  double mean_square = 0;
  for (size_t i = 0; i + 1 < moments.size(); ++i) mean_square += std::pow(moments[i] / batch, 2);
  result.total_variance = moments.back() / batch - mean_square;
}

}  // namespace saemill
