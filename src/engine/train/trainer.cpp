#include "engine/train/trainer.h"

#include <algorithm>
#include <array>

#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/plan/tiles.h"
#include "engine/train/checkpointer.h"
#include "engine/train/data_order.h"
#include "engine/train/evaluate.h"
#include "engine/train/schedule.h"
#include "engine/train/training_metrics.h"
#include "engine/train/verify_ranks.h"

namespace saemill {
namespace {

class Trainer {
 public:
  Trainer(const TrainerOptions& options, std::shared_ptr<const ActivationSet> set, Communicator& comm,
          Reporter& reporter, FileSystem& files)
      : options_(options),
        config_(options.config),
        set_(std::move(set)),
        comm_(comm),
        reporter_(reporter),
        files_(files),
        device_(options.device(set_->d_in(), config_.sae.d_sae, config_.train.dtype, &comm)),
        backend_(*device_.backend),
        plan_(make_plan({config_, set_->d_in(), comm.size(), options.threads, backend_.packed_chunk_bytes(),
                         device_.memory})),
        start_(comm.rank() == 0 && !options.resume_step ? sample() : DataStart{}),
        share_(share_of(plan_.micro_batch_size, config_.sae.d_sae, comm.rank(), comm.size())),
        arena_(plan_, comm, backend_, share_.first_latent),
        architecture_(make_architecture(config_.sae)),
        state_(arena_, share_),
        step_({config_, plan_, arena_, *architecture_, backend_, comm, *device_.exchange, state_}),
        checkpointer_(files, options.run, config_.checkpoint, comm, reporter, backend_,
                      arena_["checkpoint"]) {}

  Outcome run() {
    start_state();
    if (comm_.rank() == 0)
      reporter_.report({{"event", "started"},
                        {"step", state_.step},
                        {"backend", backend_.name()},
                        {"exchange", device_.exchange->name()},
                        {"plan", plan_.to_json()}});
    warn_of_windows();
    if (comm_.rank() == 0 && options_.resume_step) {
      const LongWork reading(comm_);
      checkpointer_.tell_restored(*options_.resume_step);
    }
    const Request request = train_steps();
    reporter_.progress(state_.step, "checkpoint");
    device_.exchange->finish();
    if (saved_step_ != state_.step) save(request != Request::none);
    const bool saved = checkpointer_.finish() && saved_step_ == state_.step;
    if (!saved && (request == Request::pause || device_.memory == DeviceMemory::gpu))
      fail(ErrorCode::retry, "the checkpoint of step {} could not be saved; the one before it stays{}{}",
           state_.step, checkpointer_.no_room().empty() ? "" : ": ", checkpointer_.no_room());
    if (request != Request::pause) return finish(request == Request::finish);
    if (comm_.rank() == 0) reporter_.report({{"event", "paused"}, {"step", state_.step}});
    return Outcome::paused;
  }

 private:
  DataStart sample() const {
    const LongWork reading(comm_);
    return sample_data(config_, *set_);
  }

  void warn_of_windows() {
    if (comm_.rank() != 0) return;
    const auto why = why_windows_do_not_fit(data_order(config_, *set_), *set_, available_memory());
    if (!why.empty()) reporter_.report({{"event", "warning"}, {"code", "large_windows"}, {"message", why}});
  }

  Request train_steps() {
    BatchLoader loader(set_, loader_options(), slots());
    TrainingMetrics metrics(config_, comm_, *device_.exchange);
    const double start = monotonic_seconds();
    saved_step_ = options_.resume_step.value_or(-1);
    Request request = options_.finish ? Request::finish : Request::none;
    while (state_.step < config_.train.steps && request < Request::finish) {
      reporter_.progress(state_.step, "train");
      request = one_step(loader, metrics);
      const int64_t every = config_.checkpoint.every_steps;
      const bool due = every > 0 && state_.step % every == 0 && request < Request::finish;
      if (due || request == Request::checkpoint) save(request == Request::checkpoint);
    }
    seconds_ = monotonic_seconds() - start;
    return request;
  }

  void start_state() {
    reporter_.progress(0, "init");
    if (options_.resume_step) {
      checkpointer_.restore(*options_.resume_step, state_);
    } else {
      initialize_state(state_, config_, *architecture_, start_, backend_, comm_);
      start_ = {};
    }
    check_rows();
    // Ranks read at their own pace, and the exchange between GPUs does not know LongWork.
    comm_.barrier();
    backend_.pack(state_.weights, state_.packed, state_.share.first_latent, state_.share.last_latent);
    step_.share_state();
  }

  // The order of the data is a function of their number: with another one rows would be repeated or left out.
  void check_rows() {
    const auto rows = static_cast<double>(set_->rows());
    std::array<double, 2> most{rows, -rows};
    comm_.all_reduce(most, Reduce::max);
    if (most[0] != -most[1])
      fail(ErrorCode::bad_data,
           "{}: one rank found {} rows and another {}; accepted: files that stay as they are",
           config_.activations.path, -most[1], most[0]);
    if (state_.rows > 0 && state_.rows != set_->rows())
      fail(ErrorCode::bad_data,
           "{}: holds {} rows, and the checkpoint of step {} is of a training on {}; accepted: the same "
           "activations",
           config_.activations.path, set_->rows(), state_.step, state_.rows);
    state_.rows = set_->rows();
  }

  void save(bool asked) {
    if (steps_run_ > 0) step_.ensure_finite();  // weights are void after a step whose loss was not
    if (checkpointer_.start(state_, asked)) saved_step_ = state_.step;
  }

  std::vector<std::span<float>> slots() const {
    std::vector<std::span<float>> list;
    for (const char* name : {"x.0", "x.1"})
      list.emplace_back(arena_[name].as<float>(), arena_[name].bytes() / sizeof(float));
    return list;
  }

  // The loader's batch is the micro-batch.
  BatchLoaderOptions loader_options() const {
    const int64_t parts = config_.train.batch_size / plan_.micro_batch_size;
    return {data_order(config_, *set_),      plan_.micro_batch_size, state_.share.first_row,
            state_.share.last_row,           state_.step * parts,    config_.train.steps * parts,
            static_cast<float>(state_.scale)};
  }

  Request one_step(BatchLoader& loader, TrainingMetrics& metrics) {
    StepInput input;
    const TrainConfig& train = config_.train;
    input.adam = {learning_rate(train, state_.step), train.beta1, train.beta2, train.epsilon,
                  state_.step + 1};
    input.l1 = l1_weight(config_, state_.step);
    input.log = (state_.step + 1) % train.log_every == 0 || state_.step + 1 == train.steps;
    if (comm_.rank() == 0 && options_.request) input.signals[kRequest] = options_.request->exchange(0);
    checkpointer_.fill(input.signals);
    const StepResult result = step_.run(loader, input);
    ++steps_run_;
    checkpointer_.settle(result.signals);
    metrics.count_step();
    if (const int64_t every = config_.debug.verify_ranks_every; every > 0 && state_.step % every == 0)
      verify_ranks(step_.common_state(), state_.step, backend_, comm_);
    if (input.log) {
      const LoggedMetrics logged = metrics.collect(result, input.adam.lr, input.l1, step_, loader);
      if (comm_.rank() == 0) {
        nlohmann::ordered_json line{{"event", "metrics"}, {"step", state_.step}, {"values", logged.values}};
        if (!logged.ranks.empty()) line["ranks"] = logged.ranks;
        reporter_.report(line);
      }
    }
    return static_cast<Request>(static_cast<int>(result.signals[0][kRequest]));
  }

  Outcome finish(bool early) {
    reporter_.progress(state_.step, "export");
    arena_.release("checkpoint");
    // By all ranks together: the end of NCCL's communicator is collective, and rank 0 has work of its own
    // next.
    if (device_.memory == DeviceMemory::gpu) device_.exchange.reset();
    comm_.barrier();  // all have released theirs before the evaluation takes memory
    // The others are done. Rank 0 meets them no more, so it may take its time.
    if (comm_.rank() == 0) {
      export_weights();
      const SaeWeights sae = read_sae(options_.run / "sae");
      const RankDevice alone = options_.device(sae.d_in, sae.d_sae, "f32", nullptr);
      nlohmann::ordered_json report = evaluate_sae(sae, *set_, kReportRows, *alone.backend).to_json();
      report["activations_per_second"] =
          seconds_ > 0 ? static_cast<double>(steps_run_ * config_.train.batch_size) / seconds_ : 0.0;
      report["steps"] = state_.step;
      report["seconds"] = seconds_;
      reporter_.report(
          {{"event", "finished"}, {"step", state_.step}, {"finalized_early", early}, {"report", report}});
    }
    return Outcome::finished;
  }

  // On CPUs rank 0 has all weights: they are shared, or were gathered after the last step. On GPUs the
  // checkpoint has them. Then the evaluation of the exported file takes the training's place in memory.
  void export_weights() {
    if (device_.memory == DeviceMemory::cpu) {
      export_sae(files_, options_.run / "sae", config_, weights_of(state_), *set_);
      for (const char* moment : {"m.W_enc", "m.W_dec", "v.W_enc", "v.W_dec"}) arena_.release(moment);
      return;
    }
    export_sae(files_, options_.run / "sae", config_,
               read_weights(options_.run / "checkpoints" / checkpoint_name(state_.step)), *set_);
    backend_.release();
  }

  static constexpr int64_t kReportRows = 16384;

  const TrainerOptions& options_;
  const RunConfig& config_;
  std::shared_ptr<const ActivationSet> set_;
  Communicator& comm_;
  Reporter& reporter_;
  FileSystem& files_;
  RankDevice device_;
  Backend& backend_;
  Plan plan_;
  DataStart start_;
  Share share_;
  Arena arena_;
  std::unique_ptr<Architecture> architecture_;
  TrainingState state_;
  Step step_;
  Checkpointer checkpointer_;
  int64_t saved_step_ = -1;
  double seconds_ = 0;
  int64_t steps_run_ = 0;
};

}  // namespace

Outcome train(const TrainerOptions& options, std::shared_ptr<const ActivationSet> set, Communicator& comm,
              Reporter& reporter, FileSystem& files) {
  return Trainer(options, std::move(set), comm, reporter, files).run();
}

}  // namespace saemill
