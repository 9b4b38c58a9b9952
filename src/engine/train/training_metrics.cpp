#include "engine/train/training_metrics.h"

#include "common/base/clock.h"
#include "engine/train/memory.h"

namespace saemill {

TrainingMetrics::TrainingMetrics(const RunConfig& config, Communicator& comm, Exchange& exchange)
    : config_(config), comm_(comm), exchange_(exchange), since_(monotonic_seconds()) {}

nlohmann::ordered_json TrainingMetrics::collect(const StepResult& result, double lr, double l1, Step& step,
                                                const BatchLoader& loader) {
  const double now = monotonic_seconds(), steps = static_cast<double>(std::max<int64_t>(steps_, 1));
  const ProcessMemory memory = process_memory();
  // Means over ranks; memory: what is private adds up, what is shared is there once.
  const ExchangeCost cost = exchange_.take_cost();
  std::array<double, 5> sums{(now - since_) / steps, (loader.wait_seconds() - data_wait_) / steps,
                             static_cast<double>(memory.anonymous), cost.busy_ms / steps,
                             cost.exposed_ms / steps};
  std::array<double, 1> shared{static_cast<double>(memory.shared)};
  comm_.all_reduce(std::span<double>(sums), Reduce::sum);
  comm_.all_reduce(std::span<double>(shared), Reduce::max);
  since_ = now;
  data_wait_ = loader.wait_seconds();
  steps_ = 0;
  step.take_phases();
  const double ranks = comm_.size(), seconds = sums[0] / ranks;
  const bool topk = config_.sae.architecture == "topk";
  nlohmann::ordered_json values;
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
  values["activations_per_second"] = static_cast<double>(config_.train.batch_size) / seconds;
  values["step_ms"] = 1e3 * seconds;
  values["data_wait_ms"] = 1e3 * sums[1] / ranks;
  values["comm_ms"] = sums[3] / ranks;
  values["comm_exposed_ms"] = sums[4] / ranks;
  values["memory_bytes"] = sums[2] + shared[0];
  if (const int64_t every = config_.debug.verify_ranks_every; every > 0 && result.step >= every)
    values["verified_step"] = result.step / every * every;
  return values;
}

}  // namespace saemill
