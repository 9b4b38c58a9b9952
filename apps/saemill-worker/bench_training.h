// A training on random activations, as one rank sets it up: what benchmarks measure.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "common/protocol/run_config.h"
#include "engine/data/batch_loader.h"
#include "engine/train/rank_device.h"
#include "engine/train/step.h"

namespace saemill {

// --shape, --arch and --dtype of a benchmark.
struct BenchShape {
  std::string shape = "4096,768,24576,32", architecture = "topk", dtype = "bf16";
};

struct BenchSetup {
  RunConfig config;  // resolved
  int64_t d_in = 0;
};
// Error{usage} names the option that is refused.
BenchSetup make_setup(const BenchShape& shape);

// --devices cpu | cpu:0 | gpu | gpu:K. Error{usage}.
struct BenchDevice {
  bool gpu = false;
  int index = 0;
};
BenchDevice parse_device(const std::string& text, bool indexed);
// Error{bad_config} where this program can use no such GPU.
void use_gpu_number(int index);

int cores_allowed();

// Normal values; a table of rows over and over. `readers` as an ActivationSet is opened with.
std::shared_ptr<const ActivationSet> random_activations(int64_t d_in, int readers = 1);
// The same until about so many rows are read; later reads leave what is in their place as it is.
std::shared_ptr<const ActivationSet> until(std::shared_ptr<const ActivationSet> set, int64_t reads);

struct BenchTrainingOptions {
  BenchSetup setup;
  std::shared_ptr<const ActivationSet> set;
  int threads = 1;          // of a CPU rank, for the plan
  bool same_batch = false;  // the loader's slots are filled once
  int64_t hot = 0;          // so many latents are active in every activation, as some of real ones nearly are
};

// Collective: all ranks make theirs, and call the same functions.
class BenchTraining {
 public:
  BenchTraining(const BenchTrainingOptions& options, const MakeDevice& device, Communicator& comm);

  void step(bool log = false);  // an asynchronous backend may still be at it
  void wait();                  // for all steps, also the other ranks'
  // Activations of the last batch that the latent which most of them hit is active in; of TopK.
  int64_t most_hits();

  const Plan& plan() const { return plan_; }
  const Arena& arena() const { return arena_; }
  Backend& backend() { return *device_.backend; }
  Exchange& exchange() { return *device_.exchange; }
  TrainingState& state() { return state_; }
  std::map<std::string, double> take_phases() { return step_.take_phases(); }

 private:
  const BenchSetup setup_;
  Communicator& comm_;
  RankDevice device_;
  Plan plan_;
  Share share_;
  Arena arena_;
  std::unique_ptr<Architecture> architecture_;
  TrainingState state_;
  Step step_;
  std::optional<BatchLoader> loader_;
};

}  // namespace saemill
