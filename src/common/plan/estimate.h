// What each device of a job must hold: the trainer's own plan, and what a process takes besides it.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "common/plan/plan.h"

namespace saemill {

// What one rank holds before and beside the plan's buffers. Measured by bench/memory_estimate and written in
// docs/performance.md.
struct DeviceConstants {
  int64_t context = 0;       // code and heap of the process, thread stacks
  int64_t communicator = 0;  // per peer
};
DeviceConstants cpu_constants();
// Assumed: the context with cuBLASLt's kernels, and NCCL's buffers for each peer. Not measured on a GPU yet.
DeviceConstants gpu_constants();

struct EstimateInput {
  RunConfig config;  // resolved
  int64_t d_in = 0;
  int64_t devices = 1;  // ranks, one each, on one machine
  int64_t threads = 1;  // of one rank
  DeviceConstants constants;
  DeviceMemory memory = DeviceMemory::cpu;
};

struct Estimate {
  // Of each device: its own buffers, and its part of those that ranks of one machine share.
  int64_t memory_required = 0;
  // weights, moments, gradients, copies, batch, selection, exchange, context, loader: every name, in that
  // order
  std::vector<std::pair<std::string, int64_t>> breakdown;
  int64_t total = 0;                                                  // of all devices
  int64_t batch_global = 0, batch_per_device = 0, micro_batches = 0;  // per device: of the rank that has most
};

// Error{bad_config} as make_plan.
Estimate estimate(const EstimateInput& input);

// d_in of models that people name: gpt2, google/gemma-2-2b, ... Error{bad_config} names all of them.
int64_t model_width(const std::string& model);

}  // namespace saemill
