// What trainings do with checkpoints: what they say of them, and what becomes of them on a full disk. On
// CPUs, with ranks as threads of this process.
#include "engine/train/checkpointer.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <limits>
#include <mutex>

#include "common/base/error.h"
#include "common/base/temporary_folder.h"
#include "engine/train/trainer.h"
#include "tests/sparse_activations.h"

namespace saemill {
namespace {

using Json = nlohmann::ordered_json;

constexpr int64_t kRows = 1024, kWidth = 32;
constexpr int kNoRequest = static_cast<int>(Request::none);

// A disk with as much room as a test says, where writing may fail in the middle.
class SmallDisk : public FileSystem {
 public:
  uint64_t available(const fs::path&) override { return room; }
  std::unique_ptr<OutputFile> create(const fs::path& path) override {
    const std::string name = path.filename();
    if (fails.empty() || name.find(fails) == std::string::npos) return FileSystem::create(path);
    return std::make_unique<FullFile>(FileSystem::create(path), path);
  }
  void rename(const fs::path& from, const fs::path& to) override {
    // What a deletion begins with.
    if (keeps_old && to.extension() == ".tmp") fail(ErrorCode::retry, "{}: cannot rename", from.string());
    FileSystem::rename(from, to);
  }

  std::atomic<uint64_t> room = std::numeric_limits<uint64_t>::max();
  std::string fails;  // part of a file's name
  bool keeps_old = false;

 private:
  class FullFile : public OutputFile {
   public:
    FullFile(std::unique_ptr<OutputFile> file, fs::path path)
        : file_(std::move(file)), path_(std::move(path)) {}
    void write(std::span<const std::byte> bytes) override {
      file_->write(bytes.first(bytes.size() / 2));
      fail(ErrorCode::retry, "{}: cannot write: No space left on device", path_.string());
    }
    void sync() override {}
    void close() override {}

   private:
    std::unique_ptr<OutputFile> file_;
    fs::path path_;
  };
};

// Keeps the events, and lets a test do something at a step of rank 0.
class Told final : public Reporter {
 public:
  void report(Json event) override {
    const std::lock_guard lock(mutex_);
    events_.push_back(std::move(event));
  }
  void progress(int64_t step, const std::string& phase) override {
    const std::lock_guard lock(mutex_);
    if (phase == "train" && at_step) at_step(step);
  }
  std::vector<Json> of(const std::string& kind) const {
    std::vector<Json> some;
    for (const Json& event : events_)
      if (event["event"] == kind) some.push_back(event);
    return some;
  }
  std::function<void(int64_t)> at_step;

 private:
  std::mutex mutex_;
  std::vector<Json> events_;
};

class CheckpointerTest : public testing::Test {
 protected:
  void SetUp() override {
    run_ = folder_ / "run";
    fs::create_directories(run_);
    write_sparse_activations(folder_ / "x.npy", kRows, kWidth);
    config_.activations.path = folder_ / "x.npy";
    config_.sae.d_sae = 256;
    config_.sae.k = 4;
    config_.train.batch_size = 256;
    config_.train.steps = 12;
    config_.train.dtype = "f32";
    config_.checkpoint.every_steps = 2;
    set_ = ActivationSet::open(config_.activations.path, "");
  }
  // What every rank ended with: empty, "paused", or its error.
  std::vector<std::string> run(int ranks, std::optional<int64_t> resume = {}) {
    told_ = std::make_unique<Told>();
    told_->at_step = at_step_;
    std::vector<std::string> ends(static_cast<size_t>(ranks));
    const int memory = ::memfd_create("saemill-checkpointer", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    std::vector<std::thread> threads;
    for (int rank = 0; rank < ranks; ++rank)
      threads.emplace_back(
          [&, rank] { ends[static_cast<size_t>(rank)] = one_rank(memory, rank, ranks, resume); });
    for (std::thread& thread : threads) thread.join();
    ::close(memory);
    return ends;
  }
  std::vector<std::string> names() const {
    std::vector<std::string> all;
    for (const auto& entry : fs::directory_iterator(run_ / "checkpoints"))
      all.push_back(entry.path().filename());
    std::sort(all.begin(), all.end());
    return all;
  }
  std::vector<Json> warnings(const std::string& code) const {
    std::vector<Json> some = told_->of("warning");
    std::erase_if(some, [&](const Json& event) { return event["code"] != code; });
    return some;
  }

  RunConfig config_;
  TemporaryFolder temporary_;
  fs::path folder_ = temporary_.path, run_;
  SmallDisk disk_;
  std::shared_ptr<const ActivationSet> set_;
  std::unique_ptr<Told> told_;
  std::function<void(int64_t)> at_step_;
  std::atomic<int> request_ = kNoRequest;

 private:
  std::string one_rank(int memory, int rank, int ranks, std::optional<int64_t> resume) {
    std::unique_ptr<Communicator> comm;
    try {
      comm = ranks == 1 ? make_self_communicator() : make_shm_communicator({memory, rank, ranks, 60});
      TrainerOptions options;
      options.config = resolve_run_config(config_, kWidth, kRows, ranks);
      options.run = run_;
      options.device = cpu_device(1);
      options.resume_step = resume;
      if (rank == 0) options.request = &request_;
      SilentReporter silent;
      Reporter& reporter = rank == 0 ? static_cast<Reporter&>(*told_) : silent;
      return train(options, set_, *comm, reporter, disk_) == Outcome::paused ? "paused" : "";
    } catch (const Error& error) {
      if (error.code() != ErrorCode::retry) ADD_FAILURE() << error.what();
      return error.what();
    }
  }
};

using Steps = std::vector<int64_t>;
using Ends = std::vector<std::string>;

TEST_F(CheckpointerTest, EachIsToldWithAllThatAreThere) {
  EXPECT_EQ(run(2), (Ends{"", ""}));
  const auto told = told_->of("checkpoint");
  ASSERT_EQ(told.size(), 6U);
  EXPECT_EQ(told[0]["kept"], (Steps{2}));
  EXPECT_EQ(told[1]["kept"], (Steps{2, 4}));
  EXPECT_EQ(told[5]["kept"], (Steps{10, 12}));
  EXPECT_EQ(names(), (Ends{"step-00000010", "step-00000012"}));
}

TEST_F(CheckpointerTest, WhatIsResumedFromIsToldAgain) {
  config_.train.steps = 6;
  run(1);
  const Json last = told_->of("checkpoint").back();
  EXPECT_EQ(run(2, 6), (Ends{"", ""}));
  ASSERT_EQ(told_->of("checkpoint").size(), 1U);
  EXPECT_EQ(told_->of("checkpoint")[0], last);
  EXPECT_EQ(told_->of("checkpoint")[0]["kept"], (Steps{4, 6}));
}

TEST_F(CheckpointerTest, OneThatStandsIsToldThoughOldOnesStay) {
  config_.train.steps = 6;
  disk_.keeps_old = true;
  EXPECT_EQ(run(1), Ends{""});
  ASSERT_EQ(told_->of("checkpoint").size(), 3U);
  EXPECT_EQ(told_->of("checkpoint")[2]["kept"], (Steps{2, 4, 6}));
  EXPECT_EQ(warnings("checkpoint_not_removed").size(), 1U);
}

TEST_F(CheckpointerTest, WithoutRoomTheTrainingGoesOnAndSaysSoOnce) {
  at_step_ = [&](int64_t step) { disk_.room = step >= 3 && step < 9 ? 1000 : uint64_t{1} << 40; };
  EXPECT_EQ(run(3), (Ends{"", "", ""}));
  const auto said = warnings("no_room_for_checkpoint");
  ASSERT_EQ(said.size(), 1U);
  const std::string message = said[0]["message"];
  for (const char* part : {"step 4", "checkpoints", "1000 are available", "needs"})
    EXPECT_NE(message.find(part), std::string::npos) << message;
  Steps saved;
  for (const Json& event : told_->of("checkpoint")) saved.push_back(event["step"]);
  EXPECT_EQ(saved, (Steps{2, 10, 12}));
  EXPECT_TRUE(warnings("checkpoint_failed").empty());
}

TEST_F(CheckpointerTest, ItIsSaidAgainAfterThereWasRoomAndWhenAsked) {
  at_step_ = [&](int64_t step) {
    disk_.room = step == 4 || step == 5 ? uint64_t{1} << 40 : 0;
    if (step == 8) request_ = static_cast<int>(Request::checkpoint);
  };
  EXPECT_EQ(run(2), (Ends{"", ""}));
  // After steps 2, 8 and 9, which was asked for; 4 and 10 and 12 are not news.
  std::string all;
  for (const Json& event : warnings("no_room_for_checkpoint"))
    all += event["message"].get<std::string>() + "\n";
  EXPECT_EQ(warnings("no_room_for_checkpoint").size(), 3U) << all;
  EXPECT_NE(all.find("step 9"), std::string::npos) << all;
  EXPECT_EQ(told_->of("checkpoint").size(), 1U);
}

TEST_F(CheckpointerTest, APauseWithoutRoomFailsAndTheEarlierOneStays) {
  at_step_ = [&](int64_t step) {
    disk_.room = step < 3 ? uint64_t{1} << 40 : 12345;
    if (step == 6) request_ = static_cast<int>(Request::pause);
  };
  const Ends ends = run(3);
  for (const std::string& end : ends)
    for (const char* part : {"step 7 could not be saved", "12345 are available", "needs"})
      EXPECT_NE(end.find(part), std::string::npos) << end;
  EXPECT_TRUE(told_->of("paused").empty());
  EXPECT_EQ(names(), Ends{"step-00000002"});
  disk_.room = uint64_t{1} << 40;
  at_step_ = {};
  EXPECT_EQ(run(2, 2), (Ends{"", ""}));
}

// What a crash has left is not counted as used: it goes first.
TEST_F(CheckpointerTest, WhatIsLeftHalfWrittenGoesBeforeTheLook) {
  const fs::path left = run_ / "checkpoints" / "step-00000001.tmp";
  fs::create_directories(left);
  disk_.room = 0;
  EXPECT_EQ(run(1), Ends{""});
  EXPECT_EQ(names(), Ends{});
}

TEST_F(CheckpointerTest, HalfWrittenOnesAreRemovedAndEarlierOnesStay) {
  run(1);
  for (const char* part : {"rows", "shared", "manifest"}) {
    SCOPED_TRACE(part);
    disk_.fails = part;
    config_.train.steps = 15;
    EXPECT_EQ(run(2, 12), (Ends{"", ""}));
    EXPECT_GE(warnings("checkpoint_failed").size(), 2U);
    EXPECT_EQ(names(), (Ends{"step-00000010", "step-00000012"}));
    fs::remove_all(run_ / "sae");
  }
}

}  // namespace
}  // namespace saemill
