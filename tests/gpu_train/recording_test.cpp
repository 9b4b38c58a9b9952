// A step that is recorded and repeated gives the bits of one that is enqueued operation by operation: in
// every kind of step that there is, and where it begins to be another kind.
#include <gtest/gtest.h>
#include <unistd.h>

#include "engine/backend/cuda/cuda_backend.h"
#include "engine/comm/local_gpu/local_gpu_exchange.h"
#include "engine/train/step.h"
#include "sparse_activations.h"

namespace saemill {
namespace {

namespace fs = std::filesystem;
constexpr int64_t kRows = 1024, kWidth = 24, kSteps = 12;

using Bits = std::vector<std::vector<std::byte>>;

struct Outcome {
  Bits state;  // afterwards: weights, moments, copies, counters
  std::vector<double> metrics;
  std::vector<bool> looked;  // for dead latents, in each step that was measured
  int64_t recordings = 0;
};

class Recording : public testing::Test {
 protected:
  void SetUp() override {
    if (const std::string reason = gpu::unavailable(); !reason.empty()) GTEST_SKIP() << reason;
    path_ = fs::temp_directory_path() / fmt::format("saemill-recording-{}.npy", ::getpid());
    write_sparse_activations(path_, kRows, kWidth);
    set_ = ActivationSet::open(path_, "");
    config_.activations.path = path_;
    config_.sae.d_sae = 128;
    config_.sae.k = 4;
    config_.sae.aux_k = 8;
    config_.sae.dead_after = 3 * 128;  // from the fourth step on there may be dead latents
    config_.train.batch_size = 128;
    config_.train.steps = kSteps;
    config_.train.lr = 3e-3;
  }
  void TearDown() override {
    if (!path_.empty()) fs::remove(path_);
  }

  // `measured` steps are told by phase, and none of them is recorded.
  Outcome run(bool measured, bool over_exchange_of_gpus = false) const {
    const RunConfig config = resolve_run_config(config_, kWidth, kRows, 1);
    CudaBackend cuda =
        make_cuda_backend(kWidth, config.sae.d_sae, config.train.dtype == "bf16" ? DType::bf16 : DType::f32);
    Backend& backend = *cuda.backend;
    const auto comm = make_self_communicator();
    LocalGpuGroup group(1, 60);
    const auto exchange = over_exchange_of_gpus ? make_local_gpu_exchange(group, 0, *cuda.compute, {})
                                                : make_cpu_exchange(*comm);
    const Plan plan = make_plan({config, kWidth, 1, 1, backend.packed_chunk_bytes(), DeviceMemory::gpu});
    const Share share = share_of(plan.micro_batch_size, config.sae.d_sae, 0, 1);
    const Arena arena(plan, *comm, backend, share.first_latent);
    const auto architecture = make_architecture(config.sae);
    TrainingState state(arena, share);
    Step step({config, plan, arena, *architecture, backend, *comm, *exchange, state});
    initialize_state(state, config, *architecture, {1, std::vector<float>(kWidth)}, backend, *comm);
    backend.pack(state.weights, state.packed, share.first_latent, share.last_latent);
    step.share_state();
    backend.measure_phases(measured);
    Outcome result;
    train(config, plan, arena, step, result);
    exchange->finish();
    for (const SaeViews* sae : {&state.weights, &state.m, &state.v})
      for (const View& view : {sae->W_enc, sae->W_dec, sae->b_enc, sae->b_dec})
        keep(backend, view, result.state);
    for (const View& view : {state.packed.encoder, state.packed.decoder, state.last_fired})
      keep(backend, view, result.state);
    result.recordings = backend.recordings();
    return result;
  }

  RunConfig config_;
  bool logs_ = true;  // every third step

 private:
  void train(const RunConfig& config, const Plan& plan, const Arena& arena, Step& step,
             Outcome& result) const {
    std::vector<std::span<float>> slots;
    for (const char* name : {"x.0", "x.1"})
      slots.emplace_back(arena[name].as<float>(), arena[name].bytes() / sizeof(float));
    BatchLoader loader(set_,
                       {.order = {set_->rows()},
                        .batch_size = plan.micro_batch_size,
                        .last_row = plan.micro_batch_size,
                        .last_step = kSteps * config.train.batch_size / plan.micro_batch_size},
                       slots);
    for (int64_t s = 0; s < kSteps; ++s) {
      StepInput input;
      input.adam = {config.train.lr * static_cast<double>(s + 1) / kSteps, 0.9, 0.999, 1e-8, s + 1};
      input.l1 = config.sae.l1_coefficient;
      input.log = logs_ && s % 3 == 0;
      const StepResult told = step.run(loader, input);
      result.looked.push_back(step.take_phases().contains("find_dead"));
      if (told.known)
        for (const double value : {told.mse, told.l0, told.aux_mse, told.total_variance, told.grad_norm,
                                   static_cast<double>(told.dead)})
          result.metrics.push_back(value);
    }
  }

  static void keep(Backend& backend, const View& view, Bits& bits) {
    auto& bytes = bits.emplace_back(view.bytes());
    backend.read(bytes.data(), view.data, bytes.size());
  }

  fs::path path_;
  std::shared_ptr<const ActivationSet> set_;
};

void expect_same(const Outcome& a, const Outcome& b) {
  EXPECT_EQ(a.metrics, b.metrics);
  ASSERT_EQ(a.state.size(), b.state.size());
  for (size_t i = 0; i < a.state.size(); ++i) EXPECT_TRUE(a.state[i] == b.state[i]) << "matrix " << i;
}

TEST_F(Recording, GivesTheSameBits) {
  for (const char* dtype : {"bf16", "f32"}) {
    config_.train.dtype = dtype;
    const Outcome recorded = run(false), enqueued = run(true);
    EXPECT_GT(recorded.recordings, 0) << dtype;
    EXPECT_EQ(enqueued.recordings, 0) << dtype;
    expect_same(recorded, enqueued);
    EXPECT_GT(recorded.metrics.back(), 0) << "no latent died: the auxiliary loss took no part";
    EXPECT_TRUE(enqueued.looked.back());
  }
}

// Without the auxiliary loss dead latents are counted all the same.
TEST_F(Recording, CountsDeadLatentsWithoutAuxiliaryLoss) {
  config_.sae.aux_k = 0;
  const Outcome recorded = run(false);
  expect_same(recorded, run(true));
  EXPECT_GT(recorded.metrics.back(), 0);
}

// Where all fire often, each logged step tells that none dies before the next one. Who does not know it yet,
// as after a resume, looks for them, and an auxiliary loss of none changes nothing.
TEST_F(Recording, ALossOfNoLatentIsSpared) {
  config_.sae.k = 64;
  const Outcome spared = run(true);
  EXPECT_EQ(spared.metrics.back(), 0) << "a latent died";
  EXPECT_EQ(spared.looked, std::vector<bool>(kSteps, false));
  logs_ = false;
  const Outcome looked = run(true);
  EXPECT_TRUE(looked.looked.back());
  EXPECT_TRUE(looked.state == spared.state);
}

TEST_F(Recording, HoldsClipping) {
  config_.train.clip_norm = 1e-2;
  const Outcome recorded = run(false);
  EXPECT_GT(recorded.recordings, 0);
  expect_same(recorded, run(true));
}

TEST_F(Recording, IsLeftOutWhereTheHostDecides) {
  EXPECT_EQ(run(false, true).recordings, 0) << "an exchange of GPUs";
  config_.train.micro_batch_size = 128;
  config_.train.batch_size = 256;
  EXPECT_EQ(run(false).recordings, 0) << "micro-batches";
  config_.train.micro_batch_size = 0;
  config_.sae.architecture = "relu";
  EXPECT_EQ(run(false).recordings, 0) << "relu";
}

}  // namespace
}  // namespace saemill
