// `saemill train --devices gpu:...` from the command line to the exported SAE, with a fake driver and a
// worker whose GPU is emulated.
#include "common/base/proc.h"
#include "tests/fake_nvml/machine.h"
#include "tests/launch_fixture.h"
#include "tests/sparse_activations.h"

namespace saemill {
namespace {

// As the emulation names its devices.
std::string emulated_uuid(int index) {
  return fmt::format("GPU-e4e4e4e4-0000-4000-8000-{:012x}", index);
}

class GpuLaunch : public LaunchTest {
 protected:
  void SetUp() override {
    LaunchTest::SetUp();
    ::setenv("LD_LIBRARY_PATH", FAKE_NVML_FOLDER, 1);
    ::setenv("XDG_DATA_HOME", folder_.c_str(), 1);
    ::setenv("FAKE_NVML_SCENARIO", (folder_ / "scenario.json").c_str(), 1);
    machine_ = machine_of(2);
    for (int gpu = 0; gpu < 2; ++gpu) machine_["gpus"][gpu]["uuid"] = emulated_uuid(gpu);
    write_machine();
    write_sparse_activations(folder_ / "x.npy", 512, 16);
    std::ofstream(folder_ / "config.toml")
        << "name = \"test\"\n[activations]\npath = \"" << (folder_ / "x.npy").string()
        << "\"\n[sae]\nd_sae = 64\nk = 4\n[train]\nbatch_size = 128\nsteps = "
           "2\nlog_every = 1\n";
  }
  void write_machine() const { std::ofstream(folder_ / "scenario.json") << machine_.dump(); }

  std::vector<std::string> train(const std::string& devices, const std::string& worker) const {
    return {"train",      (folder_ / "config.toml").string(),
            "--worker",   SAEMILL_BIN_DIR "/" + worker,
            "--out",      run_.string(),
            "--devices",  devices,
            "--progress", "none"};
  }
  int run(const std::string& devices, const std::string& worker = "saemill-worker-emulated",
          const std::vector<std::string>& more = {}) {
    auto words = train(devices, worker);
    words.insert(words.end(), more.begin(), more.end());
    Launched command(words, Json(), folder_, "train");
    const int code = command.wait();
    said_ = command.err();
    return code;
  }

  Json machine_;
  std::string said_;
};

TEST_F(GpuLaunch, TrainsOnTheGpuThatWasNamed) {
  EXPECT_EQ(run("gpu:0"), 0) << said_;
  const auto started = events("started");
  ASSERT_EQ(started.size(), 1U);
  EXPECT_EQ(started[0]["devices"], Json({"gpu:0"}));
  EXPECT_EQ(started[0]["device_uuids"], Json({emulated_uuid(0)}));
  EXPECT_TRUE(fs::exists(run_ / "sae/sae_weights.safetensors"));
  EXPECT_EQ(events("metrics").size(), 2U);
}

TEST_F(GpuLaunch, AutoTakesAFreeGpu) {
  machine_["gpus"][1]["processes"] = {{{"pid", ::getpid()}, {"memory_used", 1000000000}}};
  write_machine();
  EXPECT_EQ(run("auto"), 0) << said_;
  ASSERT_FALSE(events("started").empty());
  EXPECT_EQ(events("started")[0]["devices"], Json({"gpu:0"}));
}

TEST_F(GpuLaunch, AutoLeavesAFullGpuAlone) {
  machine_["gpus"][0]["memory_used"] = 149'300'000'000;
  machine_["gpus"][1]["memory_used"] = 149'300'000'000;
  write_machine();
  EXPECT_EQ(run("auto"), 0) << said_;
  ASSERT_FALSE(events("started").empty());
  EXPECT_EQ(events("started")[0]["devices"], Json({"cpu:0"}));
}

TEST_F(GpuLaunch, VariablesForNcclAreReadAsSuch) {
  EXPECT_EQ(run("gpu:0", "saemill-worker-emulated", {"--set", "parallel.nccl=NCCL_DEBUG=WARN PATH=/tmp"}),
            78);
  EXPECT_NE(said_.find("PATH=/tmp"), std::string::npos) << said_;
}

// The driver's word is scripted: 500 MB more than the small training's own.
TEST_F(GpuLaunch, CalibrationMeasuresWhatAProcessHoldsBesides) {
  const std::string kept = (folder_ / "kept").string();
  const auto estimate = [&](const std::string& data) {
    Launched command(
        {"estimate", "--model", "gpt2", "--d-sae", "1024", "--devices", "gpu:0", "--data", data, "--json"},
        Json(), folder_, "estimate");
    EXPECT_EQ(command.wait(), 0) << command.err();
    return Json::parse(command.out());
  };
  EXPECT_FALSE(estimate(kept)["context_measured"]);
  Launched command({"estimate", "--calibrate", "--devices", "gpu:0", "--data", kept, "--json", "--worker",
                    SAEMILL_BIN_DIR "/saemill-worker-emulated"},
                   Json(), folder_, "calibrate");
  pid_t probe = 0;
  ASSERT_TRUE(eventually([&] {
    for (const auto& entry : fs::directory_iterator("/proc")) {
      const std::string words = text_of(entry.path() / "cmdline");
      if (words.find("saemill-worker-emulated") == std::string::npos ||
          words.find("probe") == std::string::npos)
        continue;
      if (text_of(entry.path() / "stat").find(" " + std::to_string(command.pid()) + " ") != std::string::npos)
        probe = std::stoi(entry.path().filename().string());
    }
    return probe != 0;
  }));
  machine_["gpus"][0]["processes"] = {{{"pid", probe}, {"memory_used", 600'000'000}}};
  write_machine();
  EXPECT_EQ(command.wait(), 0) << command.err();
  const int64_t context = Json::parse(command.out())["calibrated"][0]["context"];
  EXPECT_GT(context, 400'000'000);
  EXPECT_LT(context, 600'000'000);
  machine_["gpus"][0]["processes"] = Json::array();
  write_machine();
  EXPECT_FALSE(estimate((folder_ / "elsewhere").string())["context_measured"]);
  const Json after = estimate(kept);
  EXPECT_TRUE(after["context_measured"]);
  EXPECT_EQ(after["devices"][0]["breakdown"]["context"], context);
}

// The driver's order may differ from CUDA's: the rank sees one device, and it must be the one that was meant.
// Another start would be shown the same.
TEST_F(GpuLaunch, AnotherGpuThanCudaShowsIsRefused) {
  EXPECT_EQ(run("gpu:1", "saemill-worker-emulated", {"--max-restarts", "2"}), 78) << said_;
  EXPECT_NE(said_.find(emulated_uuid(1)), std::string::npos) << said_;
  ASSERT_EQ(events("failed").size(), 1U);
  EXPECT_EQ(events("failed")[0]["attempt"], 1);
}

// CUDA may show an instance by the uuid of its GPU, as the emulation does here.
TEST_F(GpuLaunch, AMigInstanceIsTheOneDeviceThatCudaShows) {
  const std::string uuid = "MIG-11111111-2222-3333-4444-555555555555";
  machine_["gpus"][0]["mig"] = {{{"uuid", uuid}, {"memory_total", 80'000'000'000}}};
  write_machine();
  EXPECT_EQ(run(uuid), 0) << said_;
  ASSERT_EQ(events("started").size(), 1U);
  EXPECT_EQ(events("started")[0]["device_uuids"], Json({uuid}));
  EXPECT_TRUE(fs::exists(run_ / "sae/sae_weights.safetensors"));
  fs::remove_all(run_);
  ::setenv("SAEMILL_EMULATION_DEVICES", "2", 1);  // then none of them is known to be it
  EXPECT_EQ(run(uuid), 78);
  ::unsetenv("SAEMILL_EMULATION_DEVICES");
  EXPECT_NE(said_.find(uuid), std::string::npos) << said_;
}

// Two GPUs in the place of a device that this machine has, then in one that it has not.
TEST_F(GpuLaunch, RanksArePinnedNearTheirGpus) {
  const auto all = static_cast<int>(allowed_cores().size());
  std::string place;
  std::error_code none;
  for (const auto& entry : fs::directory_iterator("/sys/bus/pci/devices", none))
    if (text_of(entry.path() / "local_cpulist").size() > 1) place = entry.path().filename().string();
  if (place.empty() || all < 2) GTEST_SKIP() << "sysfs says nothing, or there is one core";
  const auto cores_of_rank_0 = [&](const std::string& pci) {
    for (int gpu = 0; gpu < 2; ++gpu) machine_["gpus"][gpu]["pci_bus_id"] = pci;
    write_machine();
    Json leader = good_leader(), plan = script({{{"0", leader}, {"1", good_peer()}}});
    leader.insert(leader.begin(), Json{{"print_facts", 1}});
    plan["attempts"][0]["0"] = leader;
    plan["devices"] = {{"devices", Json::array()}};
    Launched job(words("gpu:0,gpu:1"), plan, folder_, "pinned");
    EXPECT_EQ(job.wait(), 0) << job.err();
    const std::string text = text_of(run_ / "logs/rank-0.log"), word = "cores ";
    fs::remove_all(run_);
    return text.find(word) == std::string::npos ? 0 : std::stoi(text.substr(text.find(word) + word.size()));
  };
  EXPECT_LT(cores_of_rank_0("0000" + place), all);
  EXPECT_EQ(cores_of_rank_0("0000ffff:ee:1f.7"), all);
}

TEST_F(GpuLaunch, WhatCannotBeUsedIsRefused) {
  EXPECT_EQ(run("gpu:7"), 64);
  EXPECT_NE(said_.find("gpu:7"), std::string::npos) << said_;
  EXPECT_EQ(run("gpu:0,cpu:0"), 64);
  EXPECT_EQ(run("auto:3"), 64);
  machine_["events"] = {{{"at_s", 0}, {"gpu", 0}, {"lost", true}}};
  write_machine();
  EXPECT_EQ(run("gpu:0"), 64) << said_;
  EXPECT_FALSE(fs::exists(run_));
}

TEST_F(GpuLaunch, AWorkerWithoutAGpuSaysWhy) {
  ::setenv("SAEMILL_EMULATION_DEVICES", "0", 1);
  EXPECT_EQ(run("gpu:0"), 78);
  EXPECT_NE(said_.find("no devices"), std::string::npos) << said_;
  EXPECT_EQ(run("auto"), 0) << said_;  // says so, and takes a CPU slot
  ::unsetenv("SAEMILL_EMULATION_DEVICES");
  ASSERT_FALSE(events("started").empty());
  EXPECT_EQ(events("started")[0]["devices"], Json({"cpu:0"}));
}

}  // namespace
}  // namespace saemill
