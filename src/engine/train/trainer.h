// One training on one rank: the step loop and what happens between steps.
#pragma once

#include <atomic>
#include <filesystem>
#include <memory>
#include <optional>

#include "common/base/file.h"
#include "common/protocol/run_config.h"
#include "engine/comm/communicator.h"
#include "engine/data/activation_set.h"
#include "engine/train/rank_device.h"
#include "engine/train/reporter.h"

namespace saemill {

// What somebody asks of a running training; of rank 0, which tells the others.
enum class Request : int { none = 0, checkpoint = 1, finish = 2, pause = 3 };

struct TrainerOptions {
  RunConfig config;   // resolved
  fs::path run;       // for checkpoints/ and sae/
  MakeDevice device;  // called once for the training, and on rank 0 again for the evaluation at its end
  int threads = 1;    // of this rank, for the plan
  std::optional<int64_t> resume_step;   // continue from RUN/checkpoints/step-S
  bool finish = false;                  // export that, without a further step
  std::atomic<int>* request = nullptr;  // a Request; reset to none when taken
};

enum class Outcome { finished, paused };

// Collective. Runs to the end, to a finish request (exports) or to a pause request (saves). Rank 0 exports
// and evaluates after the others have returned. Error: as its code says.
Outcome train(const TrainerOptions& options, std::shared_ptr<const ActivationSet> set, Communicator& comm,
              Reporter& reporter, FileSystem& files = real_file_system());

}  // namespace saemill
