// The weights that a training starts from.
#include <gtest/gtest.h>

#include <cstring>

#include "engine/train/rank_device.h"
#include "engine/train/state.h"

namespace saemill {
namespace {

// Wide enough that 256 rows keep four threads busy.
constexpr int64_t kWidth = 1024, kLatents = 600;

struct Weights {
  std::vector<float> encoder, decoder;
};

std::vector<float> values(const View& view) {
  std::vector<float> copy(static_cast<size_t>(view.rows * view.cols));
  std::memcpy(copy.data(), view.data, copy.size() * sizeof(float));
  return copy;
}

Weights weights_by(int threads) {
  RunConfig config;
  config.sae.d_sae = kLatents;
  config.train.batch_size = 128;
  config.train.steps = 1;
  config.train.dtype = "f32";
  config.train.seed = 5;
  config = resolve_run_config(config, kWidth, 1024, 1);
  const auto comm = make_self_communicator();
  const RankDevice device = cpu_device(1)(kWidth, kLatents, config.train.dtype, comm.get());
  const Plan plan =
      make_plan({config, kWidth, 1, 1, device.backend->packed_chunk_bytes(), DeviceMemory::cpu});
  const Share share = share_of(plan.micro_batch_size, kLatents, 0, 1);
  const Arena arena(plan, *comm, *device.backend, share.first_latent);
  TrainingState state(arena, share);
  const DataStart start{1, std::vector<float>(kWidth)};
  initialize_state(state, config, *make_architecture(config.sae), start, *device.backend, *comm, threads);
  return {values(state.weights.W_enc), values(state.weights.W_dec)};
}

TEST(Initialize, SameBitsOnAnyNumberOfThreads) {
  const Weights one = weights_by(1);
  for (size_t row = 0; row < kLatents; ++row) {
    double squares = 0;
    for (size_t i = 0; i < kWidth; ++i)
      squares += std::pow(static_cast<double>(one.decoder[row * kWidth + i]), 2);
    ASSERT_NEAR(squares, 1, 1e-5) << "row " << row;
  }
  for (const int threads : {2, 4, 7, 0}) {
    const Weights several = weights_by(threads);
    EXPECT_TRUE(one.encoder == several.encoder) << threads;
    EXPECT_TRUE(one.decoder == several.decoder) << threads;
  }
}

}  // namespace
}  // namespace saemill
