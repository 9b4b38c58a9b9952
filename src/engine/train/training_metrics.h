// Turns step results into the metrics of metric_catalog.h, reduced over all ranks by all ranks.
#pragma once

#include <nlohmann/json.hpp>
#include <vector>

#include "engine/comm/communicator.h"
#include "engine/comm/exchange.h"
#include "engine/train/step.h"

namespace saemill {

// What a logged step measured; both in catalog order.
struct LoggedMetrics {
  nlohmann::ordered_json values;  // over all ranks
  nlohmann::ordered_json ranks;   // {name: a value of each rank}; empty: there is one rank only
};

class TrainingMetrics {
 public:
  TrainingMetrics(const RunConfig& config, Communicator& comm, Exchange& exchange);
  void count_step() { ++steps_; }
  // Collective, at the steps that are logged: since the last call.
  LoggedMetrics collect(const StepResult& result, double lr, double l1, Step& step,
                        const BatchLoader& loader);

 private:
  // What a rank measures by itself; per step but for the memory.
  struct Own {
    double step_ms = 0, data_wait_ms = 0, comm_ms = 0, comm_exposed_ms = 0;
    double memory_bytes = 0;  // private
  };
  Own measure(const BatchLoader& loader, int64_t private_memory);
  std::vector<Own> of_all_ranks(const Own& own);

  const RunConfig& config_;
  Communicator& comm_;
  Exchange& exchange_;
  double since_, data_wait_ = 0;
  int64_t steps_ = 0;
};

}  // namespace saemill
