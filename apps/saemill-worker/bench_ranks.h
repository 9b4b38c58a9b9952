// Ranks of a benchmark: each CPU rank and each GPU a process of its own, as in a training; ranks that share
// a GPU are threads of one process. Call before this process has threads or has used a GPU.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>

#include "engine/comm/communicator.h"
#include "engine/train/rank_device.h"

namespace saemill {

struct RanksOptions {
  int ranks = 1;
  bool gpu = false;
  int ranks_per_device = 1;  // GPUs
  int threads = 1;           // of a CPU rank
};

// How many ranks there may be, and where, without asking for GPUs. Error{usage} names the option.
void check_ranks(const RanksOptions& options);
// Whether they share cores or a GPU, so that their figures show correctness and not speed.
bool shares_devices(const RanksOptions& options);

struct BenchRank {
  Communicator& comm;
  MakeDevice device;
};
using RankWork = std::function<nlohmann::ordered_json(BenchRank& rank)>;

// What rank 0's work returned. Error: the first cause, as of a training.
nlohmann::ordered_json on_ranks(const RanksOptions& options, const RankWork& work);

}  // namespace saemill
