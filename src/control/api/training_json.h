// A training as REST and the live channels tell it.
#pragma once

#include "control/api/http.h"
#include "control/store/training_metrics.h"
#include "control/store/trainings.h"

namespace saemill::api {

// Without `metrics` and `config`, for the live channels: the one comes by its own events, the other never
// changes.
Json training_state_json(const TrainingRow& training);

// The training of CONTRACTS section 5, in one shape everywhere. `latest`: of all ranks.
Json training_json(const TrainingRow& training, const std::vector<LatestMetric>& latest);

}  // namespace saemill::api
