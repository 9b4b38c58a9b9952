#include "control/jobs/expected_duration.h"

#include <fmt/format.h>

#include "common/base/clock.h"
#include "control/jobs/past_runs.h"

namespace saemill {
namespace {

constexpr double kLearnEvery = 10;  // seconds

}  // namespace

void ExpectedDuration::learn(const Snapshot& snapshot) {
  if (monotonic_seconds() - learned_at_ < kLearnEvery) return;
  past_ = past_runs(measured_, server_id_, snapshot);
  learned_at_ = monotonic_seconds();
  step_seconds_.clear();
}

std::optional<double> ExpectedDuration::seconds(const TrainingRow& training, const RunConfig& config,
                                                const std::vector<std::string>& devices,
                                                const Snapshot& snapshot) {
  const int64_t left = training.total_steps - training.from_checkpoint.value_or(training.current_step);
  if (left <= 0) return std::nullopt;
  learn(snapshot);
  if (past_.empty()) return std::nullopt;
  const std::string name = common_name(snapshot, devices);
  const auto count = static_cast<int64_t>(devices.size());
  const auto [known, fresh] = step_seconds_.try_emplace(fmt::format("{} {} {}", training.id, count, name));
  if (fresh && !name.empty()) {
    SpeedShape shape = speed_shape(config);
    if (config.train.batch_size_per_device > 0) shape.batch = config.train.batch_size_per_device * count;
    if (const auto speed = estimate_speed(shape, name, count, past_))
      known->second = static_cast<double>(shape.batch) / speed->activations_per_second;
  }
  if (!known->second) return std::nullopt;
  return *known->second * static_cast<double>(left);
}

}  // namespace saemill
