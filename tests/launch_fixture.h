// Runs the real `saemill train` against tests/fake_worker.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "common/base/temporary_folder.h"

namespace saemill {

namespace fs = std::filesystem;
using Json = nlohmann::json;

inline std::string text_of(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

inline Json say(Json event) {
  return {{"say", std::move(event)}};
}
inline Json started() {
  return say({{"event", "started"}, {"step", 0}, {"plan", {{"mode", "replicate"}}}});
}
inline Json metrics(int step) {
  return say({{"event", "metrics"}, {"step", step}, {"values", {{"loss", 1.0 / step}, {"fvu", nullptr}}}});
}
inline Json finished(int step) {
  return say({{"event", "finished"},
              {"step", step},
              {"finalized_early", false},
              {"report",
               {{"fvu", 0.25},
                {"l0", 4.0},
                {"dead_fraction", 0.1},
                {"activations_per_second", 1000.0},
                {"steps", step},
                {"seconds", 1.5}}}});
}
// What a rank does that trains to the end.
inline Json good_leader() {
  return {started(), metrics(10), metrics(20), {{"make_sae", 1}}, finished(100), {{"exit", 0}}};
}
inline Json good_peer() {
  return {{{"beat", 0.2}}, {{"exit", 0}}};
}

// A started `saemill`, which is killed if a test gives up on it.
class Launched {
 public:
  Launched(std::vector<std::string> words, const Json& script, const fs::path& folder,
           const std::string& name)
      : out_(folder / (name + ".out")), err_(folder / (name + ".err")) {
    const std::string environment = script.dump();
    words.insert(words.begin(), SAEMILL_BIN_DIR "/saemill");
    std::vector<char*> arguments;
    for (auto& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    pid_ = ::fork();
    if (pid_ != 0) return;
    ::setenv("FAKE_WORKER_SCRIPT", environment.c_str(), 1);
    ::dup2(::open(out_.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644), 1);
    ::dup2(::open(err_.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644), 2);
    if (::chdir(folder.c_str()) == 0) ::execv(arguments[0], arguments.data());
    ::_exit(127);
  }
  Launched(const Launched&) = delete;
  Launched& operator=(const Launched&) = delete;
  ~Launched() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }

  pid_t pid() const { return pid_; }
  void signal(int number) const { ::kill(pid_, number); }
  std::string out() const { return text_of(out_); }
  std::string err() const { return text_of(err_); }

  int wait() {  // the exit code; 1000 + signal if one ended it
    int status = 0;
    ::waitpid(pid_, &status, 0);
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
  }

 private:
  pid_t pid_ = -1;
  fs::path out_;
  fs::path err_;
};

class LaunchTest : public ::testing::Test {
 protected:
  void SetUp() override {
    run_ = folder_ / "run";
    fs::create_directories(folder_ / "activations");
    write_config("");
  }
  void TearDown() override { EXPECT_TRUE(processes_of_run().empty()) << "a process of the run is left"; }

  void write_config(const std::string& more_train_keys) const {
    std::ofstream(folder_ / "config.toml")
        << "name = \"test\"\n[activations]\npath = \"" << (folder_ / "activations").string()
        << "\"\n[sae]\nd_sae = 64\nk = 4\n[train]\nbatch_size = 64\nsteps = 100\n"
        << more_train_keys;
  }

  static Json script(Json attempts) {
    return {{"inspect",
             {{"files", 1}, {"rows", 1000}, {"d_in", 16}, {"dtype", "F32"}, {"tensor", "x"}, {"bytes", 64}}},
            {"checkpoints", {{"step", nullptr}, {"warnings", Json::array()}}},
            {"attempts", std::move(attempts)}};
  }

  std::vector<std::string> words(const std::string& devices, std::vector<std::string> more = {}) const {
    std::vector<std::string> all{"train",     (folder_ / "config.toml").string(),
                                 "--worker",  SAEMILL_BIN_DIR "/fake_worker",
                                 "--out",     run_.string(),
                                 "--devices", devices,
                                 "--progress"};
    if (more.empty() || more.front().starts_with("--")) more.insert(more.begin(), "none");
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }

  std::vector<Json> events() const {
    std::vector<Json> all;
    std::ifstream file(run_ / "events.jsonl");
    for (std::string line; std::getline(file, line);) all.push_back(Json::parse(line));
    return all;
  }
  std::vector<Json> events(const std::string& kind) const {
    std::vector<Json> some;
    for (auto& event : events()) {
      if (event["event"] == kind) some.push_back(event);
    }
    return some;
  }
  Json json_of(const std::string& name) const { return Json::parse(text_of(run_ / name), nullptr, false); }

  void expect_gapless() const {
    int64_t expected = 1;
    for (const auto& event : events()) EXPECT_EQ(event["seq"], expected++) << event;
  }

  // Processes whose command line names this run: ranks and their children.
  std::vector<pid_t> processes_of_run() const {
    std::vector<pid_t> pids;
    for (const auto& entry : fs::directory_iterator("/proc")) {
      const std::string name = entry.path().filename().string();
      if (name.find_first_not_of("0123456789") != std::string::npos) continue;
      const std::string command = text_of(entry.path() / "cmdline");
      if (command.find(run_.string()) != std::string::npos) pids.push_back(std::stoi(name));
    }
    return pids;
  }

  static bool eventually(const std::function<bool()>& condition, double seconds = 20) {
    for (int i = 0; i < static_cast<int>(seconds / 0.05); ++i) {
      if (condition()) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    return false;
  }

  TemporaryFolder temporary_;
  fs::path folder_ = temporary_.path;
  fs::path run_;
};

}  // namespace saemill
