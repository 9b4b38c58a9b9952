// The real programs on real activations: results that do not depend on the number of ranks, and runs that are
// not lost.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <thread>

namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using Words = std::vector<std::string>;

const std::string kBin = SAEMILL_BIN_DIR;
const std::string kSource = SAEMILL_SOURCE_DIR;

std::string read(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

pid_t start(const Words& words, const fs::path& output) {
  const pid_t pid = ::fork();
  if (pid != 0) return pid;
  if (!std::freopen(output.c_str(), "a", stdout) || !std::freopen(output.c_str(), "a", stderr)) ::_exit(99);
  std::vector<char*> argv;
  for (const auto& word : words) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  ::execv(argv[0], argv.data());
  ::_exit(98);
}

int finish(pid_t pid) {
  int status = 0;
  ::waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

class Train : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(testing::TempDir()) / ("saemill_train_" + std::to_string(::getpid()));
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  // On slots that no server of other tests has: a rank is seen by every server of the machine.
  Words command(const std::string& run, int ranks, const Words& more = {}) {
    std::string devices;
    for (int r = 0; r < ranks; ++r) devices += (r ? ",cpu:" : "cpu:") + std::to_string(100 + r);
    Words words{kBin + "/saemill",
                "train",
                kSource + "/examples/shakespeare.toml",
                "--progress",
                "none",
                "--devices",
                devices,
                "--out",
                folder_ / run,
                "--set",
                "activations.path=" + kSource + "/examples/activations"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  int train(const std::string& run, int ranks, const Words& more = {}) {
    return finish(start(command(run, ranks, more), log()));
  }
  fs::path log() const { return folder_ / "log"; }
  std::string weights(const std::string& run) {
    return read(folder_ / run / "sae" / "sae_weights.safetensors");
  }
  bool saved(const std::string& run, const std::string& step) {
    return fs::exists(folder_ / run / "checkpoints" / step / "manifest.json");
  }
  void wait_for(const std::function<bool()>& condition) {
    for (int i = 0; i < 600 && !condition(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(50));
    ASSERT_TRUE(condition());
  }
  pid_t pid_of(const std::string& run, size_t rank) {
    const auto status = Json::parse(read(folder_ / run / "status.json"), nullptr, false);
    if (!status.is_object() || !status.contains("ranks") || status["ranks"].size() <= rank) return 0;
    return status["ranks"][rank].value("pid", 0);
  }
  fs::path folder_;
};

class SameBytes : public Train, public testing::WithParamInterface<std::tuple<const char*, const char*>> {};

TEST_P(SameBytes, AtEveryNumberOfRanks) {
  const auto [architecture, dtype] = GetParam();
  const Words settings{"--set", "train.steps=200",
                       "--set", std::string("sae.architecture=") + architecture,
                       "--set", std::string("train.dtype=") + dtype};
  std::string first;
  for (const int ranks : {1, 2, 3, 4, 8}) {
    const std::string run = "n" + std::to_string(ranks);
    const int code = train(run, ranks, settings);
    if (code == 78 && read(log()).find("oneDNN has no") != std::string::npos)
      GTEST_SKIP() << "this CPU has no bf16 products";
    ASSERT_EQ(code, 0) << read(log());
    const std::string bytes = weights(run) + read(folder_ / run / "sae" / "cfg.json");
    ASSERT_GT(bytes.size(), 1000u);
    if (ranks == 1) first = bytes;
    EXPECT_TRUE(bytes == first) << ranks << " ranks give other bytes";
    fs::remove_all(folder_ / run);
  }
}

INSTANTIATE_TEST_SUITE_P(All, SameBytes,
                         testing::Combine(testing::Values("topk", "relu"), testing::Values("f32", "bf16")),
                         [](const auto& p) {
                           return std::string(std::get<0>(p.param)) + "_" + std::get<1>(p.param);
                         });

// What must not change results: micro-batches. What must: everything else here.
TEST_F(Train, OptionsHaveTheirEffect) {
  const Words base{"--set", "train.steps=30", "--set", "train.dtype=f32"};
  const auto with = [&](const std::string& run, const Words& more) {
    Words all = base;
    all.insert(all.end(), more.begin(), more.end());
    EXPECT_EQ(train(run, 1, all), 0) << read(log());
    return weights(run);
  };
  const std::string plain = with("plain", {});
  EXPECT_TRUE(with("micro", {"--set", "train.micro_batch_size=256"}) == plain);
  EXPECT_TRUE(with("loose_clip", {"--set", "train.clip_norm=1e30"}) == plain);
  int i = 0;
  for (const char* option :
       {"train.clip_norm=0.01", "train.seed=1", "train.lr_warmup_steps=10", "train.lr_schedule=linear",
        "train.lr_schedule=cosine", "train.beta1=0.5", "train.beta2=0.9", "train.epsilon=0.1",
        "sae.unit_norm_decoder=false", "sae.decoder_bias_init=mean", "sae.decoder_bias_init=zeros",
        "sae.k=16", "activations.normalize=expected_average_only_in", "activations.normalize=mean_square",
        "train.lr=1e-3", "train.batch_size=1000", "activations.block_rows=64"})
    EXPECT_FALSE(with("o" + std::to_string(i++), {"--set", option}) == plain) << option;
  const auto in_blocks = [&](const std::string& run, const std::string& window) {
    return with(run, {"--set", "activations.block_rows=64", "--set", "activations.window_blocks=" + window});
  };
  EXPECT_FALSE(in_blocks("near", "8") == in_blocks("far", "64"));
  EXPECT_TRUE(with("no_blocks", {"--set", "activations.window_blocks=8"}) == plain);
  // So few active latents that some miss a whole batch, and count as dead at once.
  const auto with_dead = [&](const std::string& run, const std::string& option) {
    return with(run, {"--set", "sae.k=4", "--set", "sae.dead_after=1", "--set", option});
  };
  const std::string aux = with_dead("aux", "train.seed=0");
  EXPECT_FALSE(aux == with("dead_after", {"--set", "sae.k=4"}));
  for (const char* option : {"sae.aux_k=2", "sae.aux_k=0", "sae.aux_coefficient=1"})
    EXPECT_FALSE(with_dead("a" + std::to_string(i++), option) == aux) << option;
  const Words relu{"--set", "sae.architecture=relu"};
  const std::string relu_plain = with("relu", relu);
  EXPECT_TRUE(with("relu_micro", {"--set", "sae.architecture=relu", "--set", "train.micro_batch_size=256"}) ==
              relu_plain);
  EXPECT_FALSE(with("l1", {"--set", "sae.architecture=relu", "--set", "sae.l1_coefficient=2"}) == relu_plain);
  EXPECT_FALSE(with("l1_warmup", {"--set", "sae.architecture=relu", "--set",
                                  "train.sparsity_warmup_steps=20"}) == relu_plain);
}

// Auxiliary codes, clipping, micro-batches and a ragged last tile, over ranks.
TEST_F(Train, SameBytesWithEverythingOn) {
  const Words settings{"--set", "train.steps=40",
                       "--set", "sae.dead_after=1",
                       "--set", "sae.k=4",
                       "--set", "train.clip_norm=1",
                       "--set", "train.batch_size=1000",
                       "--set", "sae.d_sae=1000",
                       "--set", "activations.block_rows=48",
                       "--set", "activations.window_blocks=20"};
  ASSERT_EQ(train("one", 1, settings), 0) << read(log());
  ASSERT_EQ(train("three", 3, settings), 0) << read(log());
  EXPECT_TRUE(weights("one") == weights("three"));
  const Words micro{"--set", "train.steps=40", "--set", "sae.dead_after=1",
                    "--set", "sae.k=4",        "--set", "train.micro_batch_size=512"};
  ASSERT_EQ(train("micro2", 2, micro), 0) << read(log());
  ASSERT_EQ(train("whole", 1, {"--set", "train.steps=40", "--set", "sae.dead_after=1", "--set", "sae.k=4"}),
            0)
      << read(log());
  EXPECT_TRUE(weights("micro2") == weights("whole"));
}

TEST_F(Train, KilledRankEndsTheJobAndResumeLosesNothing) {
  // In blocks, so that the order of the rows is taken up within a window.
  const Words settings{"--set", "train.steps=400",           "--set", "checkpoint.every_steps=50",
                       "--set", "activations.block_rows=48", "--set", "activations.window_blocks=200"};
  ASSERT_EQ(train("undisturbed", 1, settings), 0) << read(log());
  const pid_t job = start(command("killed", 2, settings), log());
  wait_for([&] { return saved("killed", "step-00000050"); });
  wait_for([&] { return pid_of("killed", 1) > 0; });
  const pid_t victim = pid_of("killed", 1), other = pid_of("killed", 0);
  ::kill(victim, SIGKILL);
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(finish(job), 75);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(10));
  EXPECT_FALSE(fs::exists("/proc/" + std::to_string(other)));
  EXPECT_NE(read(log()).find("rank 1"), std::string::npos) << read(log());
  Words again = settings;
  again.push_back("--resume");
  EXPECT_EQ(train("killed", 3, again), 0) << read(log());
  EXPECT_TRUE(weights("killed") == weights("undisturbed"));
  int64_t seq = 0;
  std::ifstream events(folder_ / "killed" / "events.jsonl");
  for (std::string line; std::getline(events, line);) EXPECT_EQ(Json::parse(line)["seq"], ++seq);
}

TEST_F(Train, StoppedRankIsFoundByItsDeadline) {
  const pid_t job = start(command("stopped", 2, {"--set", "train.steps=100000", "--deadline", "2"}), log());
  wait_for([&] { return pid_of("stopped", 1) > 0; });
  ::kill(pid_of("stopped", 1), SIGSTOP);
  EXPECT_EQ(finish(job), 75);
  EXPECT_NE(read(log()).find("rank 1"), std::string::npos) << read(log());
}

TEST_F(Train, InterruptSavesAndResumeGoesOn) {
  const Words settings{"--set", "train.steps=500", "--set", "checkpoint.every_steps=0"};
  const pid_t job = start(command("paused", 2, settings), log());
  wait_for(
      [&] { return read(folder_ / "paused" / "events.jsonl").find("\"metrics\"") != std::string::npos; });
  ::kill(job, SIGINT);
  EXPECT_EQ(finish(job), 130);
  EXPECT_FALSE(fs::is_empty(folder_ / "paused" / "checkpoints"));
  Words again = settings;
  again.push_back("--resume");
  EXPECT_EQ(train("paused", 1, again), 0) << read(log());
  ASSERT_EQ(train("whole", 1, settings), 0) << read(log());
  EXPECT_TRUE(weights("paused") == weights("whole"));
  EXPECT_EQ(train("paused", 1, again), 0);  // finished: nothing changes
  Words other = again;
  other.insert(other.end(), {"--set", "train.seed=3"});
  EXPECT_EQ(train("paused", 1, other), 78);
  EXPECT_NE(read(log()).find("train.seed"), std::string::npos);
}

TEST_F(Train, ActivationsThatGrewAreRefused) {
  const fs::path data = folder_ / "data";
  fs::copy(kSource + "/examples/activations", data);
  const Words settings{"--set", "train.steps=500",
                       "--set", "checkpoint.every_steps=0",
                       "--set", "activations.path=" + data.string()};
  const pid_t job = start(command("grew", 2, settings), log());
  wait_for([&] { return read(folder_ / "grew" / "events.jsonl").find("\"metrics\"") != std::string::npos; });
  ::kill(job, SIGINT);
  EXPECT_EQ(finish(job), 130);
  const fs::path shard = data / "blocks.1.resid_post-00000.safetensors";
  fs::copy(shard, data / ("z" + shard.filename().string()));
  Words again = settings;
  again.push_back("--resume");
  EXPECT_EQ(train("grew", 1, again), 65);
  EXPECT_NE(read(log()).find("rows, and the checkpoint of step"), std::string::npos) << read(log());
  fs::remove(data / ("z" + shard.filename().string()));
  EXPECT_EQ(train("grew", 1, again), 0) << read(log());
}

TEST_F(Train, FinishEarlyExports) {
  const pid_t job = start(command("early", 1, {"--set", "train.steps=1000000"}), log());
  wait_for([&] { return read(folder_ / "early" / "events.jsonl").find("\"metrics\"") != std::string::npos; });
  ::kill(job, SIGUSR2);
  EXPECT_EQ(finish(job), 0) << read(log());
  EXPECT_TRUE(fs::exists(folder_ / "early" / "sae" / "cfg.json"));
}

TEST_F(Train, DamagedNewestCheckpointFallsBackToTheOneBefore) {
  const Words settings{"--set", "train.steps=100", "--set", "checkpoint.every_steps=50"};
  ASSERT_EQ(train("run", 1, settings), 0) << read(log());
  const std::string before = weights("run");
  fs::remove_all(folder_ / "run" / "sae");
  fs::remove(folder_ / "run" / "exit.json");
  for (const auto& entry : fs::directory_iterator(folder_ / "run" / "checkpoints" / "step-00000100"))
    if (entry.path().filename().string().starts_with("rows")) fs::resize_file(entry.path(), 1000);
  Words again = settings;
  again.push_back("--resume");
  EXPECT_EQ(train("run", 2, again), 0) << read(log());
  EXPECT_NE(read(log()).find("step-00000100"), std::string::npos) << read(log());
  EXPECT_TRUE(weights("run") == before);
}

// Checkpoints are larger than any file may become here; the SAE is not.
TEST_F(Train, FullDiskCostsCheckpointsAndNotTheRun) {
  const Words settings{"--set", "train.steps=100", "--set", "checkpoint.every_steps=40"};
  ASSERT_EQ(train("room", 1, settings), 0) << read(log());
  std::string line = "trap '' XFSZ; ulimit -f 16384; exec";
  for (const auto& word : command("full", 1, settings)) line += " '" + word + "'";
  EXPECT_EQ(finish(start({"/bin/sh", "-c", line}, log())), 0) << read(log());
  const std::string events = read(folder_ / "full" / "events.jsonl");
  EXPECT_NE(events.find("checkpoint_failed"), std::string::npos) << events;
  EXPECT_NE(read(log()).find("saemill: warning: "), std::string::npos) << read(log());
  EXPECT_FALSE(saved("full", "step-00000040"));
  EXPECT_TRUE(weights("full") == weights("room"));
}

TEST_F(Train, ToolsPrintOneJsonObject) {
  const std::string data = kSource + "/examples/activations";
  const auto json_of = [&](const Words& words) {
    const fs::path out = folder_ / "tool.json";
    fs::remove(out);
    Words all{kBin + "/saemill"};
    all.insert(all.end(), words.begin(), words.end());
    EXPECT_EQ(finish(start(all, out)), 0) << read(out);
    return Json::parse(read(out), nullptr, false);
  };
  const Json inspected = json_of({"inspect", data, "--json"});
  EXPECT_EQ(inspected["rows"], 16384);
  EXPECT_EQ(inspected["d_in"], 256);
  ASSERT_EQ(train("tools", 2, {"--set", "train.steps=60"}), 0) << read(log());
  const Json evaluated = json_of({"eval", folder_ / "tools" / "sae", "--activations", data, "--json"});
  EXPECT_LE(evaluated["l0"], 32.0);
  EXPECT_LT(evaluated["fvu"], 0.9);
  for (const char* key : {"dead_fraction", "mse", "cosine"}) EXPECT_TRUE(evaluated[key].is_number()) << key;
  const std::string config = folder_ / "tools" / "config.json";
  const Json one = json_of({"estimate", config, "--json"});
  const Json two = json_of({"estimate", config, "--devices", "cpu:0,cpu:1", "--json"});
  ASSERT_EQ(one["devices"].size(), 1U);
  ASSERT_EQ(two["devices"].size(), 2U);
  EXPECT_EQ(two["devices"][1]["gpu"], "cpu:1");
  // Moments are shared by the ranks of a machine: each device counts its part.
  EXPECT_NEAR(one["devices"][0]["breakdown"]["moments"].get<double>(),
              2 * two["devices"][0]["breakdown"]["moments"].get<double>(), 1e5);
  EXPECT_LT(two["devices"][0]["memory_required"], one["devices"][0]["memory_required"]);
  EXPECT_EQ(one["devices"][0]["fits"], true);
  EXPECT_EQ(two["batch"]["per_device"].get<int64_t>() * 2, two["batch"]["global"].get<int64_t>());
  const Json named = json_of({"estimate", "--model", "gpt2", "--d-sae", "24576", "--batch", "8192", "--k",
                              "64", "--architecture", "topk", "--dtype", "f32", "--json"});
  EXPECT_EQ(named["batch"]["global"], 8192);
  EXPECT_GT(named["devices"][0]["memory_required"], int64_t{24576} * 768 * 4 * 6);
  for (const char* architecture : {"topk", "relu"}) {
    const Json bench = json_of({"bench", "step", "--shape", "300,40,700,8", "--arch", architecture, "--dtype",
                                "f32", "--repeats", "2", "--warmup", "1", "--threads", "1", "--json"});
    EXPECT_GT(bench["activations_per_second"], 0);
    EXPECT_TRUE(bench["phases"]["latents"]["ms"].is_number());
    EXPECT_TRUE(bench["phases"]["latents"]["floor_ms"].is_number());
  }
}

TEST_F(Train, BadDataIsNamed) {
  fs::create_directories(folder_ / "empty");
  EXPECT_EQ(train("bad", 1, {"--set", "activations.path=" + (folder_ / "empty").string()}), 65);
  EXPECT_NE(read(log()).find("holds no shard"), std::string::npos) << read(log());
}

TEST_F(Train, AWorkerOfAnotherVersionSaysSo) {
  ::setenv("SAEMILL_STARTED_BY_VERSION", "0.0.7", 1);
  const std::string data = kSource + "/examples/activations";
  // Whatever that version's options are.
  EXPECT_EQ(finish(start({kBin + "/saemill-worker", "inspect", data, "--an-option-of-0.0.7"}, log())), 75);
  EXPECT_NE(read(log()).find("and the saemill that started it version 0.0.7"), std::string::npos)
      << read(log());
  EXPECT_EQ(finish(start({kBin + "/saemill", "inspect", data}, log())), 0) << "what counts is who started it";
  ::unsetenv("SAEMILL_STARTED_BY_VERSION");
}

}  // namespace
