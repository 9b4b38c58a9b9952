#include "common/protocol/metric_catalog.h"

namespace saemill {
namespace {

constexpr MetricRow kTable[] = {
    {"loss", "Loss", "", "down", "What is minimized: mse and the weighted sparsity or auxiliary loss"},
    {"mse", "Squared error", "", "down", "Squared error summed over d_in, mean over the batch"},
    {"sparsity_loss", "Sparsity loss", "", "down", "l1_coefficient times the mean L1 norm of the code"},
    {"aux_loss", "Auxiliary loss", "", "down",
     "aux_coefficient times the squared error that dead latents leave of the residual"},
    {"fvu", "FVU", "", "down", "Fraction of variance unexplained, of the batch"},
    {"l0", "L0", "latents", "none", "Mean number of positive latents"},
    {"dead_fraction", "Dead latents", "", "down", "Share that has not fired for dead_after activations"},
    {"grad_norm", "Gradient norm", "", "none", "Of all gradients after projection, before clipping"},
    {"lr", "Learning rate", "", "none", "Of the step"},
    {"activations_per_second", "Speed", "activations/s", "up", "Global batch over the time of a step"},
    {"step_ms", "Step", "ms", "down", "Time of a step, mean since the last metrics"},
    {"data_wait_ms", "Waiting for data", "ms", "down", "Per step, mean over ranks"},
    {"comm_ms", "Exchange", "ms", "down",
     "Per step, mean over ranks: CPU slots wait for peers, GPUs move rows between them"},
    {"comm_exposed_ms", "Exchange, waited for", "ms", "down",
     "The part of it in which the step waited, mean over ranks"},
    {"memory_bytes", "Memory", "bytes", "none", "Private memory of all ranks and shared memory once"},
    {"verified_step", "Ranks compared", "", "none",
     "The latest step after which all ranks held the same (debug.verify_ranks_every)"},
};

}  // namespace

std::span<const MetricRow> metric_catalog() {
  return kTable;
}

}  // namespace saemill
