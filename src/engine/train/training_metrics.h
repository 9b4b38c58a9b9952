// Turns step results into the metrics of metric_catalog.h, reduced over all ranks by all ranks.
#pragma once

#include <nlohmann/json.hpp>

#include "engine/comm/communicator.h"
#include "engine/comm/exchange.h"
#include "engine/train/step.h"

namespace saemill {

class TrainingMetrics {
 public:
  TrainingMetrics(const RunConfig& config, Communicator& comm, Exchange& exchange);
  void count_step() { ++steps_; }
  // Collective, at the steps that are logged: values since the last call, in catalog order.
  nlohmann::ordered_json collect(const StepResult& result, double lr, double l1, Step& step,
                                 const BatchLoader& loader);

 private:
  const RunConfig& config_;
  Communicator& comm_;
  Exchange& exchange_;
  double since_, data_wait_ = 0;
  int64_t steps_ = 0;
};

}  // namespace saemill
