// What one training needs of memory, buffer by buffer. The trainer allocates from this plan and from nothing
// else, so the estimate and the run cannot differ.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "common/protocol/run_config.h"

namespace saemill {

enum class DeviceMemory { cpu, gpu };

struct PlannedBuffer {
  std::string name;      // "W_enc"
  std::string category;  // weights | moments | gradients | copies | batch | selection | exchange | loader
  std::string dtype;     // as safetensors names it; U8 for opaque bytes
  int64_t rows = 0;
  int64_t cols = 0;
  bool shared = false;       // one copy for all ranks of a machine, else one per rank
  bool host = false;         // of a GPU rank: in the host's memory
  int64_t owned_rows = 0;    // of a GPU rank that keeps only rows of its own latents: at most so many; 0: all
  std::string same_as = {};  // has no memory of its own, but that of another buffer
  bool of_backend = false;   // its threads' own scratch, which the backend allocates
  int64_t bytes() const;
};

struct PlanInput {
  RunConfig config;  // resolved
  int64_t d_in = 0;
  int64_t ranks = 1;
  int64_t threads = 1;             // of one rank
  int64_t packed_chunk_bytes = 0;  // of the backend; 0: what a layout without padding takes
  DeviceMemory memory = DeviceMemory::cpu;
};

struct Plan {
  int64_t micro_batch_size = 0;   // divides batch_size
  int64_t code_slots = 0;         // per activation: k, or for relu what the sparse path can hold
  int64_t aux_slots = 0;          // 0: no auxiliary loss
  bool stores_gradients = false;  // more than one micro-batch
  std::vector<PlannedBuffer> buffers;

  const PlannedBuffer& at(const std::string& name) const;
  int64_t shared_bytes() const;
  int64_t bytes_per_rank() const;          // of what is not shared
  int64_t total_bytes() const;             // of all ranks on one machine
  nlohmann::ordered_json to_json() const;  // {total_bytes, breakdown{category: bytes}, buffers[]}
  int64_t ranks = 1;
  DeviceMemory memory = DeviceMemory::cpu;
};

// A ReLU step goes the sparse way where at most this share of latents is active per activation (global mean
// L0 of the step before). Measured in docs/performance.md: there the sparse way is faster in both types.
inline constexpr int64_t kSparseShare = 64;  // d_sae / 64
constexpr int64_t sparse_l0_limit(int64_t d_sae) {
  return d_sae / kSparseShare;
}

// Error{bad_config} where micro_batch_size does not fit.
Plan make_plan(const PlanInput& input);

}  // namespace saemill
