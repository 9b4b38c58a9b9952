// A stand-in for saemill-worker that plays what FAKE_WORKER_SCRIPT (JSON) says:
//
//   {"inspect":     {...the answer...} | {"exit": 65, "stderr": "..."},
//    "checkpoints": {"step": 20, "warnings": []},
//    "attempts":    [{"0": [ACTION...], "1": [...], "*": [...]}, ...]}     the last one is played again and
//    again
//
// An answer with "sleep" comes that many seconds later.
// Actions: {"say": {event...}} {"raw": "bytes"} {"huge": N} {"print": "text"} {"flood": MiB} {"sleep": S}
// {"beat": S}
// {"beat_until": "TERM"|"USR1"|"USR2"} {"silence": 1} {"exit": CODE} {"kill": SIGNAL} {"grandchild": 1}
// {"escaped_grandchild": 1}
// {"print_facts": 1} {"make_sae": 1}
// {"learn": {"lines": N, "period": S, "steps": 10}}: N lines of metrics, one each S seconds, so many steps
// apart
#include <dirent.h>
#include <fmt/format.h>
#include <sched.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>

namespace {

using Json = nlohmann::json;
namespace fs = std::filesystem;

volatile sig_atomic_t g_seen[NSIG];

void note_signal(int number) {
  g_seen[number] = 1;
}

void sleep_for(double seconds) {
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
}

class FakeRank {
 public:
  FakeRank(int argc, char** argv) {
    for (int i = 2; i + 1 < argc; i += 2) options_[argv[i]] = argv[i + 1];
    for (int i = 0; i < argc; ++i) command_ += std::string(argv[i]) + " ";
    fd_ = std::stoi(options_.at("--report-fd"));
  }

  std::string name() const { return options_.at("--rank"); }

  // How often this rank was started before in this run.
  size_t attempt() const {
    const fs::path path = fs::path(options_.at("--run")) / "logs" / ("fake-" + name());
    std::error_code error;
    const auto before = fs::file_size(path, error);
    std::ofstream(path, std::ios::app) << 'x';
    return error ? 0 : before;
  }

  void play(const Json& actions) {
    for (const auto& action : actions) {
      const auto [key, value] = std::pair(action.begin().key(), action.begin().value());
      if (key == "say") say(value);
      if (key == "raw") write(value.get<std::string>());
      if (key == "huge") write(std::string(value.get<size_t>(), 'x') + "\n");
      if (key == "flood") flood(value.get<int>());
      if (key == "print") fmt::print("{}\n", value.get<std::string>());
      if (key == "sleep") sleep_for(value.get<double>());
      if (key == "beat") beat(static_cast<int>(value.get<double>() / 0.1), 0);
      if (key == "beat_until") beat(10000, value == "TERM" ? SIGTERM : value == "USR1" ? SIGUSR1 : SIGUSR2);
      if (key == "learn") learn(value);
      if (key == "silence") sleep_for(1000);
      if (key == "grandchild" && ::fork() == 0) sleep_for(1000);
      if (key == "escaped_grandchild" && ::fork() == 0) {  // out of reach of a kill of the rank's group
        ::setsid();
        sleep_for(1000);
      }
      if (key == "print_facts") print_facts();
      if (key == "make_sae") make_sae();
      std::fflush(stdout);
      if (key == "exit") ::_exit(value.get<int>());
      if (key == "kill") ::kill(::getpid(), value.get<int>());
    }
  }

 private:
  void say(Json event) {
    if (!event.contains("rank")) event["rank"] = std::stoi(name());
    if (event.contains("step")) step_ = event["step"];
    write(event.dump() + "\n");
  }

  void write(const std::string& bytes) {
    size_t done = 0;
    while (done < bytes.size()) {
      const ssize_t n = ::write(fd_, bytes.data() + done, bytes.size() - done);
      if (n <= 0) ::_exit(99);
      done += static_cast<size_t>(n);
    }
  }

  void beat(int times, int until) {
    for (int i = 0; i < times && (until == 0 || g_seen[until] == 0); ++i) {
      say({{"event", "heartbeat"}, {"step", step_}, {"phase", "train"}});
      sleep_for(0.1);
    }
  }

  // Curves as those of a run that goes well.
  void learn(const Json& how) {
    for (int line = 1; line <= how.at("lines").get<int>() && g_seen[SIGTERM] == 0; ++line) {
      const int64_t step = step_ + how.value("steps", int64_t{10});
      const double left = std::exp(-static_cast<double>(step) / 3000);
      const double noise = 0.02 * std::sin(static_cast<double>(step * step % 1009));
      const double loss = 0.2 + 0.8 * left + noise;
      say({{"event", "metrics"},
           {"step", step},
           {"values",
            {{"loss", loss},
             {"mse", 0.9 * loss},
             {"aux_loss", 0.1 * loss},
             {"fvu", loss / 2},
             {"l0", 64 * (1 + left)},
             {"dead_fraction", 0.3 * left},
             {"lr", 1e-3},
             {"grad_norm", 1 + noise},
             {"step_ms", 10 + noise},
             {"activations_per_second", 4e5 * (1 + noise)}}}});
      sleep_for(how.at("period").get<double>());
    }
  }

  void print_facts() const {
    fmt::print("command {}\n", command_);
    std::string fds;
    DIR* folder = ::opendir("/proc/self/fd");
    const int own = ::dirfd(folder);
    while (const dirent* entry = ::readdir(folder)) {
      if (entry->d_name[0] != '.' && std::stoi(entry->d_name) != own) fds += std::string(" ") + entry->d_name;
    }
    ::closedir(folder);
    cpu_set_t mask;
    ::sched_getaffinity(0, sizeof mask, &mask);
    fmt::print("fds{}\ncores {}\ngroup {}\n", fds, CPU_COUNT(&mask),
               ::getpgrp() == ::getpid() ? "own" : "shared");
  }

  // Lines of 64 bytes.
  static void flood(int mebibytes) {
    const std::string line = std::string(63, '.') + "\n";
    for (int i = 0; i < mebibytes << 14; ++i) std::fputs(line.c_str(), stdout);
  }

  void make_sae() const {
    const fs::path sae = fs::path(options_.at("--run")) / "sae";
    fs::create_directories(sae);
    std::ofstream(sae / "cfg.json") << "{}\n";
    std::ofstream(sae / "sae_weights.safetensors") << "weights\n";
  }

  std::map<std::string, std::string> options_;
  std::string command_;
  int fd_ = -1;
  int64_t step_ = 0;
};

int answer(const Json& script, const std::string& command) {
  const Json reply = script.value(command, Json::object());
  sleep_for(reply.value("sleep", 0.0));
  if (reply.contains("exit")) {
    fmt::print(stderr, "{}\n", reply.value("stderr", std::string()));
    return reply["exit"].get<int>();
  }
  fmt::print("{}\n", reply.dump());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const char* text = std::getenv("FAKE_WORKER_SCRIPT");
  const Json script = Json::parse(text != nullptr ? text : "{}");
  const std::string command = argc > 1 ? argv[1] : "";
  const bool asked = command == "inspect" || command == "checkpoints" || command == "devices";
  if (asked && script.contains(command)) return answer(script, command);
  if (command != "train") {
    for (int i = 1; i < argc; ++i) fmt::print("{}\n", argv[i]);
    return script.value("other_exit", 0);
  }
  struct sigaction action {};
  action.sa_handler = note_signal;
  for (const int number : {SIGTERM, SIGUSR1, SIGUSR2}) ::sigaction(number, &action, nullptr);
  FakeRank rank(argc, argv);
  const Json& attempts = script.at("attempts");
  const Json& ranks = attempts.at(std::min(rank.attempt(), attempts.size() - 1));
  rank.play(ranks.contains(rank.name()) ? ranks[rank.name()] : ranks.at("*"));
  return 0;
}
