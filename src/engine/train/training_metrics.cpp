#include "engine/train/training_metrics.h"

#include <algorithm>
#include <array>
#include <numeric>
#include <span>
#include <utility>

#include "common/base/clock.h"
#include "engine/train/memory.h"

namespace saemill {

TrainingMetrics::TrainingMetrics(const RunConfig& config, Communicator& comm, Exchange& exchange)
    : config_(config), comm_(comm), exchange_(exchange), since_(monotonic_seconds()) {}

TrainingMetrics::Own TrainingMetrics::measure(const BatchLoader& loader, int64_t private_memory) {
  const double now = monotonic_seconds(), steps = static_cast<double>(std::max<int64_t>(steps_, 1));
  const ExchangeCost cost = exchange_.take_cost();
  const Own own{1e3 * (now - since_) / steps, 1e3 * (loader.wait_seconds() - data_wait_) / steps,
                cost.busy_ms / steps, cost.exposed_ms / steps, static_cast<double>(private_memory)};
  since_ = now;
  data_wait_ = loader.wait_seconds();
  steps_ = 0;
  return own;
}

std::vector<TrainingMetrics::Own> TrainingMetrics::of_all_ranks(const Own& own) {
  constexpr size_t kFields = sizeof(Own) / sizeof(double);
  std::vector<Own> all(static_cast<size_t>(comm_.size()));
  all[static_cast<size_t>(comm_.rank())] = own;
  // The others' are zeros here: the sum is a gathering.
  comm_.all_reduce(std::span<double>(&all[0].step_ms, kFields * all.size()), Reduce::sum);
  return all;
}

LoggedMetrics TrainingMetrics::collect(const StepResult& result, double lr, double l1, Step& step,
                                       const BatchLoader& loader) {
  const ProcessMemory memory = process_memory();
  const std::vector<Own> all = of_all_ranks(measure(loader, memory.anonymous));
  std::array<double, 1> shared{static_cast<double>(memory.shared)};
  comm_.all_reduce(std::span<double>(shared), Reduce::max);
  step.take_phases();
  const auto sum = [&](double Own::*field) {
    return std::accumulate(all.begin(), all.end(), 0.0,
                           [&](double before, const Own& one) { return before + one.*field; });
  };
  const auto mean = [&](double Own::*field) { return sum(field) / static_cast<double>(all.size()); };
  const bool topk = config_.sae.architecture == "topk";
  LoggedMetrics logged;
  nlohmann::ordered_json& values = logged.values;
  const double sparsity = l1 * result.l1_norm, aux = config_.sae.aux_coefficient * result.aux_mse;
  values["loss"] = result.mse + (topk ? aux : sparsity);
  values["mse"] = result.mse;
  if (!topk) values["sparsity_loss"] = sparsity;
  if (topk) values["aux_loss"] = aux;
  if (result.total_variance > 0)
    values["fvu"] = result.mse / result.total_variance;
  else
    values["fvu"] = nullptr;  // a batch of equal rows has no variance to explain
  values["l0"] = result.l0;
  values["dead_fraction"] = static_cast<double>(result.dead) / static_cast<double>(config_.sae.d_sae);
  values["grad_norm"] = result.grad_norm;
  values["lr"] = lr;
  values["activations_per_second"] =
      1e3 * static_cast<double>(config_.train.batch_size) / mean(&Own::step_ms);
  constexpr std::pair<const char*, double Own::*> kTimes[] = {{"step_ms", &Own::step_ms},
                                                              {"data_wait_ms", &Own::data_wait_ms},
                                                              {"comm_ms", &Own::comm_ms},
                                                              {"comm_exposed_ms", &Own::comm_exposed_ms}};
  for (const auto& [name, field] : kTimes) values[name] = mean(field);
  // What is private adds up, what is shared is there once.
  values["memory_bytes"] = sum(&Own::memory_bytes) + shared[0];
  if (const int64_t every = config_.debug.verify_ranks_every; every > 0 && result.step >= every)
    values["verified_step"] = result.step / every * every;
  if (all.size() == 1) return logged;
  for (const Own& own : all) {
    for (const auto& [name, field] : kTimes) logged.ranks[name].push_back(own.*field);
    logged.ranks["memory_bytes"].push_back(own.memory_bytes);
  }
  return logged;
}

}  // namespace saemill
