// One optimizer step in replicate mode: the forward pass is split by activations, the backward pass and the
// optimizer by latents. All ranks call run() together; results are the same bits on every rank and at every
// number of ranks.
#pragma once

#include <array>
#include <functional>
#include <map>
#include <string>

#include "engine/comm/communicator.h"
#include "engine/comm/exchange.h"
#include "engine/data/batch_loader.h"
#include "engine/train/state.h"

namespace saemill {

// Small numbers that every rank tells every other in each step.
inline constexpr int64_t kSignals = 8;
using Signals = std::array<double, kSignals>;

struct StepInput {
  AdamStep adam;
  double l1 = 0;      // weight of the L1 term
  bool log = false;   // fvu and grad_norm are wanted
  Signals signals{};  // of this rank
};

struct StepResult {
  // Of an asynchronous backend, only where the step was logged, or the architecture asks for its L0.
  bool known = false;
  int64_t step = 0;                                  // steps done with it
  double mse = 0, l1_norm = 0, l0 = 0, aux_mse = 0;  // means over the global batch
  double total_variance = 0;                         // log only: mean squared deviation from the batch mean
  double grad_norm = 0;                              // after projection, before clipping
  int64_t dead = 0;                                  // latents, before the step
  std::vector<Signals> signals;                      // of every rank
};

// What a step runs with; all of it outlives the step.
struct StepParts {
  const RunConfig& config;
  const Plan& plan;
  const Arena& arena;
  const Architecture& architecture;
  Backend& backend;
  Communicator& comm;
  Exchange& exchange;
  TrainingState& state;
};

class Step {
 public:
  explicit Step(const StepParts& parts);

  // Takes micro-batches from the loader. Non-finite losses are Error{bad_data}: weights are then void.
  StepResult run(BatchLoader& loader, const StepInput& input);
  // The same check of a step whose result is not known.
  void ensure_finite() const;

  // Collective: weights and packed copies that each rank has filled for its latents reach all.
  void share_state() { gather_latents(); }
  // What every rank must hold alike, by name, for debug.verify_ranks_every.
  std::vector<std::pair<std::string, View>> common_state();
  // Milliseconds by phase, summed since the last call.
  std::map<std::string, double> take_phases();
  // The batch as gathered by the last run, for tests and benchmarks.
  const Codes& codes() const { return codes_; }

 private:
  void write_scalars(const StepInput& input);
  void clear_sums(bool log);
  bool may_find_dead() const;
  bool find_dead();
  ForwardTask forward_task(const View& x) const;
  bool forward(const View& x, bool sparse, std::function<void()> selected = {});
  View next_batch(BatchLoader& loader);
  bool run_micro_batch(const View& x, const StepInput& input, StepResult& result);
  void run_recorded(const View& x, const StepInput& input, StepResult& result);
  void sum_batch(const StepInput& input);
  LatentTask latent_task() const;
  void group(const LatentTask& task);
  void update(bool sparse, bool grouped = false);
  void finish_gradient();
  void gather_batch(const StepInput& input, std::vector<Signals>& signals);
  void gather_latents(bool later = false);
  void read_result(const StepInput& input, StepResult& result);
  void look_for_oldest();
  void check_finite(double mse) const;
  template <typename Work>
  void timed(const char* phase, Work&& work);

  const RunConfig& config_;
  const Plan& plan_;
  const Architecture& architecture_;
  Backend& backend_;
  Communicator& comm_;
  Exchange& exchange_;
  TrainingState& state_;
  View centered_, residual_, aux_residual_, row_stats_, row_block_sums_, data_moments_;
  View latent_block_sums_, latent_block_norms_, signals_, dead_, overflow_, grad_W_enc_, grad_W_dec_,
      grad_b_enc_, grad_b_dec_;
  View step_scalars_, sums_, bias_sums_, moment_sums_;
  Codes codes_, aux_;
  LatentIndex by_latent_, aux_by_latent_;
  int64_t none_dies_before_ = 0;  // so many activations
  bool uses_aux_ = false;         // in this step
  bool records_ = false;          // a step's work is recorded once, and repeated
  std::map<std::string, double> phases_;
};

}  // namespace saemill
