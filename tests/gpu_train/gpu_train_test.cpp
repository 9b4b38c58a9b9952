// Whole trainings on GPUs, with ranks as threads of this process: one rank, several on one GPU, and what they
// hold alike. On the emulation always, on a GPU where there is one.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmath>
#include <cstring>
#include <thread>

#include "common/base/temporary_folder.h"
#include "engine/backend/cuda/cuda_backend.h"
#include "engine/comm/local_gpu/local_gpu_exchange.h"
#include "engine/train/sae_export.h"
#include "engine/train/step.h"
#include "engine/train/trainer.h"
#include "engine/train/verify_ranks.h"
#include "sparse_activations.h"

namespace saemill {
namespace {

constexpr int64_t kRows = 1024, kWidth = 32;

class Silent final : public Reporter {
 public:
  void report(nlohmann::ordered_json event) override {
    const std::lock_guard lock(mutex_);
    events_.push_back(event);
  }
  void progress(int64_t, const std::string&) override {}
  std::vector<nlohmann::ordered_json> of(const std::string& kind) {
    std::vector<nlohmann::ordered_json> some;
    for (const auto& event : events_)
      if (event["event"] == kind) some.push_back(event);
    return some;
  }

 private:
  std::mutex mutex_;
  std::vector<nlohmann::ordered_json> events_;
};

MakeDevice gpu(LocalGpuGroup* group, int rank) {
  return [=](int64_t d_in, int64_t d_sae, const std::string& dtype, Communicator* comm) {
    CudaBackend cuda = make_cuda_backend(d_in, d_sae, dtype == "bf16" ? DType::bf16 : DType::f32);
    RankDevice device;
    device.memory = DeviceMemory::gpu;
    device.backend = std::move(cuda.backend);
    if (comm != nullptr && group != nullptr)
      device.exchange = make_local_gpu_exchange(*group, rank, *cuda.compute, {.piece_bytes = 4096});
    else if (comm != nullptr)
      device.exchange = make_cpu_exchange(*comm);
    return device;
  };
}

double relative_difference(const std::vector<float>& a, const std::vector<float>& b) {
  double difference = 0, size = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    difference += std::pow(static_cast<double>(a[i]) - static_cast<double>(b[i]), 2);
    size += std::pow(static_cast<double>(a[i]), 2);
  }
  return std::sqrt(difference / size);
}

class GpuTrain : public testing::Test {
 protected:
  void SetUp() override {
    if (const std::string reason = gpu::unavailable(); !reason.empty()) GTEST_SKIP() << reason;
    make_data();
  }
  void make_data() {
    write_sparse_activations(folder_ / "x.npy", kRows, kWidth);
    config_.activations.path = folder_ / "x.npy";
    config_.sae.d_sae = 256;
    config_.sae.k = 4;
    config_.sae.aux_k = 8;
    config_.sae.dead_after = 600;  // so that the auxiliary loss takes part
    config_.train.batch_size = 256;
    config_.train.steps = 6;
    config_.train.lr = 3e-3;
    config_.train.log_every = 2;
    config_.checkpoint.every_steps = 3;
    config_.debug.verify_ranks_every = 2;
    set_ = ActivationSet::open(config_.activations.path, "");
  }
  RunConfig resolved(int ranks) const { return resolve_run_config(config_, kWidth, kRows, ranks); }

  // Ranks as threads; 0: one rank on the CPU.
  std::unique_ptr<Silent> run(const std::string& name, int ranks, std::optional<int64_t> resume = {}) {
    auto reporter = std::make_unique<Silent>();
    const int threads_count = std::max(ranks, 1);
    LocalGpuGroup group(threads_count, 120);
    const int memory = ::memfd_create("saemill-gpu-train", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    std::vector<std::thread> threads;
    for (int rank = 0; rank < threads_count; ++rank)
      threads.emplace_back([&, rank] {
        std::unique_ptr<Communicator> comm;
        try {
          comm = threads_count == 1 ? make_self_communicator()
                                    : make_shm_communicator({memory, rank, threads_count, 120});
          TrainerOptions options;
          options.config = resolved(threads_count);
          options.run = folder_ / name;
          options.device = ranks == 0 ? cpu_device(1) : gpu(threads_count > 1 ? &group : nullptr, rank);
          options.resume_step = resume;
          train(options, set_, *comm, *reporter);
        } catch (const std::exception& error) {
          ADD_FAILURE() << "rank " << rank << ": " << error.what();
          group.abort(error.what());
          if (comm) comm->abort(error.what());
        }
      });
    for (std::thread& thread : threads) thread.join();
    ::close(memory);
    return reporter;
  }

  void expect_same(const char* dtype, int ranks) {
    config_.train.dtype = dtype;
    const std::string name = fmt::format("{}-{}", ranks, dtype);
    run("one-" + name, 1);
    const auto reporter = run(name, ranks);
    const SaeWeights one = exported("one-" + name), several = exported(name);
    EXPECT_LT(relative_difference(one.W_dec, several.W_dec), 1e-5) << name;
    EXPECT_LT(relative_difference(one.W_enc, several.W_enc), 1e-5) << name;
    ASSERT_FALSE(reporter->of("metrics").empty());
    EXPECT_EQ(reporter->of("metrics").back()["values"]["verified_step"], config_.train.steps);
  }

  SaeWeights exported(const std::string& name) const { return read_sae(folder_ / name / "sae"); }
  static double fvu(Silent& reporter) {
    const auto finished = reporter.of("finished");
    return finished.empty() ? std::nan("") : finished[0]["report"]["fvu"].get<double>();
  }

  RunConfig config_;
  TemporaryFolder temporary_;
  fs::path folder_ = temporary_.path;
  std::shared_ptr<const ActivationSet> set_;
};

// FVU of these trainings on CPU ranks, so that a GPU is compared with one also where no CPU rank runs.
struct CpuFvu {
  const char *name, *architecture, *dtype;
  double clip_norm, fvu;
};
constexpr CpuFvu kCpuFvu[] = {{"bf16", "topk", "bf16", 0, 0.550844},
                              {"f32", "topk", "f32", 0, 0.551582},
                              {"relu", "relu", "bf16", 0, 0.087711},
                              {"clipped", "topk", "bf16", 1e-3, 0.550460}};

// ctest shows it; else it would print bytes.
std::ostream& operator<<(std::ostream& out, const CpuFvu& training) {
  return out << training.name;
}

class LikeACpu : public GpuTrain, public testing::WithParamInterface<CpuFvu> {
 protected:
  void SetUp() override {
    make_data();
    config_.sae.architecture = GetParam().architecture;
    config_.train.dtype = GetParam().dtype;
    config_.train.clip_norm = GetParam().clip_norm;
  }
};

TEST_P(LikeACpu, OnAGpu) {
  if (const std::string reason = gpu::unavailable(); !reason.empty()) GTEST_SKIP() << reason;
  const double found = fvu(*run("gpu", 1));
  EXPECT_NEAR(found / GetParam().fvu, 1, 0.01) << found;
  if (GetParam().clip_norm == 0) {
    EXPECT_LT(found, 0.9) << "nothing was learned";
  }
}

// That the figures above are a CPU's.
TEST_P(LikeACpu, OnACpu) {
  try {
    const auto comm = make_self_communicator();
    const auto device = cpu_device(1)(kWidth, config_.sae.d_sae, GetParam().dtype, comm.get());
  } catch (const Error& error) {
    if (std::string(error.what()).find("oneDNN has no") == std::string::npos) throw;
    GTEST_SKIP() << error.what();
  }
  const double found = fvu(*run("cpu", 0));
  EXPECT_NEAR(found / GetParam().fvu, 1, 0.002) << fmt::format("{:.6f}", found);
}

INSTANTIATE_TEST_SUITE_P(GpuTrain, LikeACpu, testing::ValuesIn(kCpuFvu),
                         [](const auto& parameters) { return parameters.param.name; });

TEST_F(GpuTrain, SameBitsAgain) {
  run("a", 1);
  run("b", 1);
  EXPECT_EQ(exported("a").W_enc, exported("b").W_enc);
  EXPECT_EQ(exported("a").b_dec, exported("b").b_dec);
}

TEST_F(GpuTrain, ResumedIsAsIfNeverStopped) {
  run("whole", 1);
  config_.train.steps = 3;
  run("resumed", 1);
  fs::remove_all(folder_ / "resumed/sae");
  config_.train.steps = 6;
  run("resumed", 1, 3);
  EXPECT_EQ(exported("whole").W_enc, exported("resumed").W_enc);
  EXPECT_EQ(exported("whole").b_enc, exported("resumed").b_enc);
}

TEST_F(GpuTrain, MicroBatchesAreTheBatch) {
  config_.train.dtype = "f32";
  run("whole", 1);
  config_.train.micro_batch_size = 128;
  run("parts", 1);
  EXPECT_LT(relative_difference(exported("whole").W_dec, exported("parts").W_dec), 1e-5);
}

// The design's tolerance: 1e-5 where selections agree.
TEST_F(GpuTrain, TwoRanksLearnTheSame) {
  expect_same("f32", 2);
  expect_same("bf16", 2);
}

TEST_F(GpuTrain, FourRanksLearnTheSame) {
  config_.train.batch_size = 512;
  config_.train.steps = 4;
  config_.sae.dead_after = 1000;
  expect_same("bf16", 4);
}

// More ranks than tiles of 128 activations: two of the four encode nothing, and own latents all the same.
TEST_F(GpuTrain, RanksWithoutActivationsTakePart) {
  config_.train.steps = 4;
  expect_same("bf16", 4);
}

bool emulated() {
  return gpu::devices()[0].name.find("mulated") != std::string::npos;
}

// cudaMalloc takes memory of the device in steps of 2 MiB, in which small buffers share some that may be
// there already; and cuBLASLt and modules that are loaded at their first use take what no plan knows.
constexpr double kMemorySteps = 8 << 20, kLibraries = 64 << 20;

// What `saemill estimate` counts is what a rank allocates, before its first step.
TEST_F(GpuTrain, TheMemoryIsThePlans) {
  for (const char* architecture : {"topk", "relu"})
    for (const char* dtype : {"bf16", "f32"}) {
      config_.sae.architecture = architecture;
      config_.train.dtype = dtype;
      config_.sae.d_sae = 2048;
      const RunConfig config = resolved(1);
      const size_t free_before = gpu::memory_info().free_bytes;
      const auto comm = make_self_communicator();
      const RankDevice device = gpu(nullptr, 0)(kWidth, 2048, dtype, comm.get());
      const Plan plan =
          make_plan({config, kWidth, 1, 1, device.backend->packed_chunk_bytes(), DeviceMemory::gpu});
      const Share share = share_of(plan.micro_batch_size, 2048, 0, 1);
      const Arena arena(plan, *comm, *device.backend, share.first_latent);
      const auto parts = make_architecture(config.sae);
      TrainingState state(arena, share);
      const Step step({config, plan, arena, *parts, *device.backend, *comm, *device.exchange, state});
      int64_t planned = 0;
      for (const PlannedBuffer& buffer : plan.buffers)
        if (!buffer.host && !buffer.shared) planned += buffer.bytes();
      const auto held = static_cast<double>(free_before - gpu::memory_info().free_bytes);
      const auto wanted = static_cast<double>(planned);
      if (emulated()) {
        EXPECT_NEAR(held / wanted, 1, 0.001) << architecture << " " << dtype;
        device.backend->release();
        EXPECT_EQ(gpu::memory_info().free_bytes, free_before);
        continue;
      }
      EXPECT_GE(held, wanted - kMemorySteps) << architecture << " " << dtype;
      EXPECT_LE(held, wanted + kLibraries) << architecture << " " << dtype;
    }
}

TEST(VerifyRanks, NamesTheRankAndTheMatrixThatDiffer) {
  constexpr int kRanks = 3;
  const int memory = ::memfd_create("saemill-verify", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  std::vector<std::string> said(kRanks);
  std::vector<std::thread> threads;
  for (int rank = 0; rank < kRanks; ++rank)
    threads.emplace_back([&, rank] {
      const auto comm = make_shm_communicator({memory, rank, kRanks, 60});
      const auto backend = make_reference_backend(4, 64);
      std::vector<float> weights(64, 1.5f), bias(8, 0.5f);
      const auto view = [](std::vector<float>& values) {
        return View{reinterpret_cast<std::byte*>(values.data()), DType::f32, 1,
                    static_cast<int64_t>(values.size())};
      };
      const std::vector<std::pair<std::string, View>> state{{"b_dec", view(bias)}, {"W_enc", view(weights)}};
      verify_ranks(state, 7, *backend, *comm);
      if (rank == 2) weights[63] = std::nextafter(1.5f, 2.0f);  // one bit
      try {
        verify_ranks(state, 8, *backend, *comm);
      } catch (const Error& error) {
        said[static_cast<size_t>(rank)] = error.what();
      }
    });
  for (std::thread& thread : threads) thread.join();
  ::close(memory);
  for (const std::string& message : said) {
    EXPECT_NE(message.find("step 8"), std::string::npos) << message;
    EXPECT_NE(message.find("rank 2"), std::string::npos) << message;
    EXPECT_NE(message.find("W_enc"), std::string::npos) << message;
  }
}

}  // namespace
}  // namespace saemill
