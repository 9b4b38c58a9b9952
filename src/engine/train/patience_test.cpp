// A rank that takes longer than the deadline over its files does not lose the others, whichever phase it is
// in. On CPUs, with ranks as threads of this process.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "common/base/clock.h"
#include "common/base/temporary_folder.h"
#include "engine/train/trainer.h"
#include "tests/sparse_activations.h"

namespace saemill {
namespace {

using Json = nlohmann::ordered_json;

constexpr double kDeadline = 0.75, kDelay = 1.6;
constexpr int kRanks = 3;

void delay() {
  std::this_thread::sleep_for(std::chrono::duration<double>(kDelay));
}

// Slow once: where it creates a file, or removes what has such a name.
class SlowDisk : public FileSystem {
 public:
  explicit SlowDisk(std::string name) : name_(std::move(name)) {}
  std::unique_ptr<OutputFile> create(const fs::path& path) override {
    wait_at(path);
    return FileSystem::create(path);
  }
  void remove_all(const fs::path& path) override {
    if (fs::exists(path)) wait_at(path);
    FileSystem::remove_all(path);
  }
  bool was_slow() const { return was_slow_; }

 private:
  void wait_at(const fs::path& path) {
    if (name_.empty() || path.filename().string().find(name_) == std::string::npos) return;
    if (!was_slow_.exchange(true)) delay();
  }
  const std::string name_;
  std::atomic<bool> was_slow_ = false;
};

// One rank's activations, of which the n-th read takes long.
class SlowSet final : public ActivationSet {
 public:
  SlowSet(std::shared_ptr<const ActivationSet> set, int64_t slow_read)
      : set_(std::move(set)), slow_read_(slow_read) {}
  int64_t rows() const override { return set_->rows(); }
  int64_t d_in() const override { return set_->d_in(); }
  int64_t files() const override { return set_->files(); }
  int64_t bytes() const override { return set_->bytes(); }
  std::string dtype() const override { return set_->dtype(); }
  std::string tensor() const override { return set_->tensor(); }
  const std::map<std::string, std::string>& metadata() const override { return set_->metadata(); }
  void read(int64_t row, float scale, std::span<float> out) const override {
    if (reads_++ == slow_read_) delay();
    set_->read(row, scale, out);
  }

 private:
  const std::shared_ptr<const ActivationSet> set_;
  const int64_t slow_read_;
  mutable std::atomic<int64_t> reads_ = 0;
};

struct End {
  std::string error;
  std::optional<Outcome> outcome;
  double at = 0;
};

class Patience : public testing::Test {
 protected:
  void SetUp() override {
    write_sparse_activations(folder_ / "x.npy", 1024, 32);
    config_.activations.path = folder_ / "x.npy";
    config_.sae.d_sae = 768;
    config_.sae.k = 4;
    config_.train.batch_size = 384;
    config_.train.steps = 4;
    config_.train.dtype = "f32";
    config_.checkpoint.every_steps = 2;
    config_.checkpoint.keep_last = 1;
  }
  // `slow_reads`: of each rank, the read that takes long.
  std::vector<End> train_all(FileSystem& files, const std::vector<int64_t>& slow_reads = {-1, -1, -1}) {
    const auto set = ActivationSet::open(config_.activations.path, "");
    const RunConfig config = resolve_run_config(config_, set->d_in(), set->rows(), kRanks);
    const int memory = ::memfd_create("saemill-patience", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    std::vector<End> ends(kRanks);
    const auto rank = [&](size_t r) {
      std::unique_ptr<Communicator> comm;
      try {
        comm = make_shm_communicator({memory, static_cast<int>(r), kRanks, kDeadline});
        TrainerOptions options;
        options.config = config;
        options.run = folder_ / "run";
        options.device = cpu_device(1);
        if (r == 0) options.request = &request_;
        SilentReporter silent;
        ends[r].outcome = train(options, std::make_shared<SlowSet>(set, slow_reads[r]), *comm, silent, files);
      } catch (const std::exception& error) {
        ends[r].error = error.what();
        if (comm) comm->abort(error.what());
      }
      ends[r].at = monotonic_seconds();
    };
    std::vector<std::thread> threads;
    for (size_t r = 0; r < kRanks; ++r) threads.emplace_back(rank, r);
    for (std::thread& thread : threads) thread.join();
    ::close(memory);
    return ends;
  }
  void expect(const std::vector<End>& ends, Outcome outcome) {
    for (size_t r = 0; r < ends.size(); ++r) {
      EXPECT_EQ(ends[r].error, "") << "rank " << r;
      EXPECT_EQ(ends[r].outcome, outcome) << "rank " << r;
    }
  }

  TemporaryFolder temporary_;
  fs::path folder_ = temporary_.path;
  RunConfig config_;
  std::atomic<int> request_ = static_cast<int>(Request::none);
};

class SlowFile : public Patience, public testing::WithParamInterface<const char*> {};

TEST_P(SlowFile, IsWaitedFor) {
  SlowDisk disk(GetParam());
  expect(train_all(disk), Outcome::finished);
  EXPECT_TRUE(disk.was_slow()) << "nothing was tested";
  EXPECT_TRUE(fs::exists(folder_ / "run/sae/sae_weights.safetensors"));
}

// A part of rank 0, a part of rank 2, the publication, the removal of the checkpoint before.
INSTANTIATE_TEST_SUITE_P(All, SlowFile,
                         testing::Values("rows-00000000", "rows-00000512", "manifest.json", "step-00000002"),
                         [](const auto& p) {
                           std::string name = p.param;
                           for (char& c : name)
                             if (std::isalnum(static_cast<unsigned char>(c)) == 0) c = '_';
                           return name;
                         });

TEST_F(Patience, OthersAreGoneBeforeRankZeroExports) {
  SlowDisk disk("sae_weights.safetensors");
  const std::vector<End> ends = train_all(disk);
  expect(ends, Outcome::finished);
  EXPECT_TRUE(disk.was_slow());
  for (const size_t r : {1U, 2U}) EXPECT_GT(ends[0].at - ends[r].at, kDelay / 2) << "rank " << r << " waited";
}

TEST_F(Patience, APauseWaitsForAllParts) {
  request_ = static_cast<int>(Request::pause);
  config_.checkpoint.every_steps = 0;
  SlowDisk disk("rows-00000000");
  expect(train_all(disk), Outcome::paused);
  EXPECT_TRUE(disk.was_slow());
  EXPECT_TRUE(fs::exists(folder_ / "run/checkpoints/step-00000001/manifest.json"));
}

// Rank 0 looks at so many rows first, alone; then every rank reads its share of each batch.
TEST_F(Patience, SlowActivationsAreWaitedFor) {
  SlowDisk disk("");
  expect(train_all(disk, {10, -1, -1}), Outcome::finished);
  fs::remove_all(folder_ / "run");
  expect(train_all(disk, {-1, 2 * 128 + 10, -1}), Outcome::finished);
}

}  // namespace
}  // namespace saemill
