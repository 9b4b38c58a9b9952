// The commands that look at the devices, as a person or a script runs them: the real `saemill` on a fake
// driver of four GPUs.
#include <poll.h>
#include <pty.h>

#include "common/base/proc.h"
#include "control/store/leases.h"
#include "tests/launch_fixture.h"
#include "tests/monitor/scenario.h"

namespace saemill {
namespace {

class Devices : public LaunchTest {
 protected:
  struct Answer {
    int code = 0;
    std::string out, err;
    Json json() const { return Json::parse(out); }
  };

  void SetUp() override {
    LaunchTest::SetUp();
    ::setenv("LD_LIBRARY_PATH", FAKE_NVML_FOLDER, 1);
    ::setenv("XDG_DATA_HOME", folder_.c_str(), 1);
    ::setenv("FAKE_NVML_SCENARIO", (folder_ / "scenario.json").c_str(), 1);
    machine_ = machine_of(4);
    machine_["gpus"][1]["processes"] = {{{"pid", ::getpid()}, {"memory_used", 9'000'000'000}}};
    machine_["gpus"][2]["memory_used"] = 140'000'000'000;
    write();
  }
  void write() const { std::ofstream(folder_ / "scenario.json") << machine_.dump(); }
  void take_the_driver_away() const { ::setenv("FAKE_NVML_SCENARIO", "", 1); }

  Answer run(const std::vector<std::string>& words) const {
    Launched command(words, Json(), folder_, "command");
    Answer answer;
    answer.code = command.wait();
    answer.out = command.out(), answer.err = command.err();
    return answer;
  }

  // A lease in the store where `saemill serve` would keep it, of a job that runs: this test.
  void lease(const std::string& uuid) const {
    fs::create_directories(folder_ / "saemill");
    Database database("sqlite:" + (folder_ / "saemill/saemill.db").string());
    LeaseHolder holder;
    holder.job_id = "training-7";
    holder.host = host_name(), holder.boot_id = boot_id();
    holder.pid = ::getpid(), holder.start_time = process_start_time(::getpid());
    ASSERT_TRUE(Leases(database).take({uuid}, holder).empty());
  }

  static std::vector<std::string> states(const Json& answer) {
    std::vector<std::string> all;
    for (const Json& gpu : answer["gpus"]) all.push_back(gpu["availability"]);
    return all;
  }

  Json machine_;
};
using Words = std::vector<std::string>;

TEST_F(Devices, ListInJson) {
  lease(gpu_uuid(3));
  const Answer answer = run({"gpus", "--json"});
  EXPECT_EQ(answer.code, 0) << answer.err;
  const Json json = answer.json();
  EXPECT_EQ(json["gpu_count"], 4);
  EXPECT_EQ(states(json), (Words{"free", "foreign", "free", "leased"}));
  EXPECT_EQ(json["gpus"][0]["uuid"], gpu_uuid(0));
  EXPECT_EQ(json["gpus"][1]["processes"][0]["pid"], ::getpid());
  EXPECT_EQ(json["gpus"][3]["current_job"], "training-7");
  EXPECT_EQ(run({"gpus", "list", "--json"}).json()["gpu_count"], 4);
}

TEST_F(Devices, AvailableLeavesOutWhatIsTaken) {
  lease(gpu_uuid(3));
  const Json json = run({"gpus", "--available", "--json"}).json();
  EXPECT_EQ(states(json), (Words{"free", "free"}));
  EXPECT_EQ(json["gpus"][1]["index"], 2);  // the index is the device's, not the row's
}

TEST_F(Devices, ListNamesTheOwner) {
  lease(gpu_uuid(3));
  const Answer answer = run({"gpus"});
  EXPECT_EQ(answer.code, 0) << answer.err;
  EXPECT_NE(answer.out.find("gpu:3"), std::string::npos);
  EXPECT_NE(answer.out.find("training-7"), std::string::npos) << answer.out;
  EXPECT_NE(answer.out.find("pid " + std::to_string(::getpid())), std::string::npos) << answer.out;
  EXPECT_EQ(answer.out.find('\x1b'), std::string::npos) << "colors in a file";
}

TEST_F(Devices, WithoutADriverThereAreCpuSlots) {
  take_the_driver_away();
  const Json json = run({"gpus", "--json", "--cpu-slots", "3"}).json();
  EXPECT_EQ(json["gpu_count"], 3);
  for (const Json& device : json["gpus"]) EXPECT_EQ(device["kind"], "cpu");
}

TEST_F(Devices, WatchShowsWhatChangesUntilInterrupted) {
  Launched command({"gpus", "--watch", "--interval", "0.25", "--json"}, Json(), folder_, "watch");
  const auto last_states = [&]() -> Words {
    const std::string text = command.out().substr(0, command.out().rfind('\n'));
    const size_t begin = text.rfind('\n');
    const Json json = Json::parse(text.substr(begin == std::string::npos ? 0 : begin + 1), nullptr, false);
    return json.is_object() ? states(json) : Words{};
  };
  EXPECT_TRUE(eventually([&] { return last_states() == Words{"free", "foreign", "free", "free"}; }));
  machine_["gpus"][1]["processes"] = Json::array();
  write();
  EXPECT_TRUE(eventually([&] { return last_states() == Words(4, "free"); })) << command.out();
  command.signal(SIGINT);
  EXPECT_EQ(command.wait(), 0);
}

// What the command writes to a terminal.
std::string on_a_terminal(const Words& words, const fs::path& folder) {
  int terminal = -1;
  const winsize size{40, 100, 0, 0};
  const pid_t pid = ::forkpty(&terminal, nullptr, nullptr, &size);
  if (pid == 0) {
    std::vector<char*> arguments{const_cast<char*>(SAEMILL_BIN_DIR "/saemill")};
    for (const auto& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
    arguments.push_back(nullptr);
    if (::chdir(folder.c_str()) == 0) ::execv(arguments[0], arguments.data());
    ::_exit(127);
  }
  std::string text;
  std::array<char, 4096> buffer{};
  for (ssize_t got = 0; (got = ::read(terminal, buffer.data(), buffer.size())) > 0;) {
    text.append(buffer.data(), static_cast<size_t>(got));
    if (text.find("\x1b[J") != std::string::npos) ::kill(pid, SIGINT);  // a whole table of --watch
  }
  int status = 0;
  ::waitpid(pid, &status, 0);
  EXPECT_EQ(status, 0);
  ::close(terminal);
  return text;
}

TEST_F(Devices, ColorsOnATerminalUnlessRefused) {
  EXPECT_NE(on_a_terminal({"gpus"}, folder_).find("\x1b["), std::string::npos);
  ::setenv("NO_COLOR", "1", 1);
  const std::string plain = on_a_terminal({"gpus"}, folder_);
  ::unsetenv("NO_COLOR");
  EXPECT_EQ(plain.find('\x1b'), std::string::npos);
  EXPECT_NE(plain.find("4 devices"), std::string::npos);
}

TEST_F(Devices, WatchRefreshesInPlace) {
  const std::string text = on_a_terminal({"gpus", "--watch", "--interval", "0.25"}, folder_);
  EXPECT_NE(text.find("\x1b[2J"), std::string::npos);
  EXPECT_NE(text.find("\x1b[H"), std::string::npos);
}

TEST_F(Devices, RecommendTakesWhatIsFree) {
  const Answer answer = run({"gpus", "recommend", "--count", "3", "--memory", "5000", "--json"});
  EXPECT_EQ(answer.code, 0) << answer.err;
  const auto gpus = answer.json()["choices"][0]["gpu_ids"].get<std::vector<int>>();
  EXPECT_EQ(gpus.size(), 3U);
  EXPECT_EQ(std::count(gpus.begin(), gpus.end(), 1), 0);
  const Answer words = run({"gpus", "recommend", "--count", "2"});
  EXPECT_TRUE(words.out.starts_with("1. gpu:")) << words.out;
}

TEST_F(Devices, RecommendSaysWhatWouldHelp) {
  const Answer answer = run({"gpus", "recommend", "--count", "3", "--memory", "20000", "--json"});
  EXPECT_EQ(answer.code, 1);
  EXPECT_EQ(answer.json()["code"], "insufficient_gpus");
  EXPECT_EQ(answer.json()["suitable"], 2);
  EXPECT_EQ(answer.json()["rejected"].size(), 2U);
  const Answer words = run({"gpus", "recommend", "--count", "3", "--memory", "20000"});
  EXPECT_EQ(words.code, 1);
  EXPECT_NE(words.err.find("gpu:2"), std::string::npos) << words.err;
}

TEST_F(Devices, RecommendKeepsConstraints) {
  EXPECT_EQ(run({"gpus", "recommend", "--json", "--exclude", "0", "--exclude", "gpu:2"})
                .json()["choices"][0]["gpu_ids"],
            Json({3}));
  EXPECT_EQ(run({"gpus", "recommend", "--exclude", "9"}).code, 64);
  EXPECT_EQ(run({"gpus", "recommend", "--kind", "cpu"}).code, 1);
  EXPECT_EQ(run({"gpus", "recommend", "--kind", "cpu", "--cpu-slots", "64"}).code, 0);
  machine_["gpus"][3]["name"] = "NVIDIA H100";
  write();
  EXPECT_EQ(run({"gpus", "recommend", "--count", "3"}).code, 1);
  EXPECT_EQ(run({"gpus", "recommend", "--count", "3", "--mixed-models"}).code, 0);
}

TEST_F(Devices, ValidateFindsEveryProblem) {
  EXPECT_EQ(run({"gpus", "validate", "0", "3"}).code, 0);
  const Answer answer = run({"gpus", "validate", "0", "0", "1", "2", "9", "--memory", "20000", "--json"});
  EXPECT_EQ(answer.code, 1);
  const Json json = answer.json();
  Words codes;
  for (const Json& error : json["errors"]) codes.push_back(error["code"]);
  std::sort(codes.begin(), codes.end());
  EXPECT_EQ(codes, (Words{"busy", "does_not_exist", "memory", "named_twice"})) << answer.out;
  const Answer words = run({"gpus", "validate", "1"});
  EXPECT_NE(words.out.find("error busy"), std::string::npos) << words.out;
}

TEST_F(Devices, ValidateTakesTheMemoryOfAConfiguration) {
  machine_["gpus"][0]["memory_used"] = 147'000'000'000;  // the reserve leaves 2.4 GB
  write();
  const std::string file = folder_ / "model.toml";
  std::ofstream(file) << "[activations]\nd_in = 4096\n[sae]\nd_sae = 131072\n[train]\nsteps = 1\n";
  EXPECT_EQ(run({"gpus", "validate", "3", "--config", file}).code, 0);
  const Answer answer = run({"gpus", "validate", "0", "--config", file, "--json"});
  EXPECT_EQ(answer.code, 1) << answer.err;
  EXPECT_EQ(answer.json()["errors"][0]["code"], "memory");
  EXPECT_EQ(run({"gpus", "validate", "0", "--config", file, "--set", "sae.d_sae=512"}).code, 0);
}

TEST_F(Devices, EstimateComparesWithWhatIsFree) {
  const Words model{"estimate", "--model", "gpt2", "--d-sae", "24576", "--json"};
  const Json one = run(model).json();
  EXPECT_EQ(one["devices"].size(), 1U);
  EXPECT_TRUE(one["devices"][0]["fits"].get<bool>());
  Words two = model;
  two.insert(two.end(), {"--devices", "cpu:0,cpu:1"});
  EXPECT_LT(run(two).json()["devices"][0]["memory_required"], one["devices"][0]["memory_required"]);
  EXPECT_EQ(run({"estimate", "--model", "no-such-model", "--d-sae", "8"}).code, 78);
}

TEST_F(Devices, DoctorSaysWhatWorks) {
  const Answer good = run({"doctor", "--json"});
  EXPECT_EQ(good.code, 0) << good.out;
  EXPECT_TRUE(good.json()["ok"].get<bool>());
  const auto status = [](const Json& json, const std::string& id) -> std::string {
    for (const Json& check : json["checks"])
      if (check["id"] == id) return check["status"];
    return "absent";
  };
  EXPECT_EQ(status(good.json(), "driver"), "ok");
  EXPECT_EQ(status(good.json(), "device.gpu:0"), "ok");
  const Answer broken = run({"doctor", "--json", "--worker", "/nowhere/saemill-worker"});
  EXPECT_EQ(broken.code, 1);
  EXPECT_EQ(status(broken.json(), "worker"), "failed");
  take_the_driver_away();
  EXPECT_NE(status(run({"doctor", "--json"}).json(), "driver"), "ok");
  EXPECT_NE(run({"doctor"}).out.find("driver"), std::string::npos);
}

TEST_F(Devices, ABrokenStoreIsSaidAndTheDevicesStillShown) {
  fs::create_directories(folder_ / "saemill");
  std::ofstream(folder_ / "saemill/saemill.db") << "this is no database at all, whatever its name says";
  const Answer list = run({"gpus"});
  EXPECT_EQ(list.code, 0);
  EXPECT_NE((list.out + list.err).find("saemill.db"), std::string::npos) << list.out << list.err;
  EXPECT_EQ(run({"doctor"}).code, 1);
}

TEST_F(Devices, WrongWordsAreRefused) {
  EXPECT_EQ(run({"gpus", "recommend", "--count", "0"}).code, 64);
  EXPECT_EQ(run({"gpus", "recommend", "--kind", "tpu"}).code, 64);
  EXPECT_EQ(run({"gpus", "--watch", "--interval", "0.01"}).code, 64);
  EXPECT_EQ(run({"gpus", "validate"}).code, 64);
  EXPECT_EQ(run({"gpus", "lst"}).code, 64);
}

}  // namespace
}  // namespace saemill
