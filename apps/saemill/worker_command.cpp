#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "commands.h"
#include "common/base/error.h"
#include "control/launch/worker_client.h"

namespace saemill {
namespace {

struct Described {
  const char* name;
  const char* help;
};

constexpr std::array<Described, 3> kCommands{{
    {"eval", "Measure an SAE on activations: SAE_DIR --activations PATH [--tensor T] [--json]"},
    {"inspect", "Say what an activation shard or a folder of them holds: PATH [--tensor T] [--json]"},
    {"bench", "Measure: step, select, scaling, collectives, memory or loader; each with --help"},
}};

}  // namespace

void add_worker_commands(CLI::App& app) {
  for (const auto& command : kCommands) app.add_subcommand(command.name, command.help)->allow_extras();
}

bool is_worker_command(const std::string& name) {
  return std::any_of(kCommands.begin(), kCommands.end(),
                     [&](const auto& command) { return name == command.name; });
}

void execute_worker(const std::vector<std::string>& arguments) {
  constexpr std::string_view kWithValue = "--worker=";
  std::string named;
  std::vector<std::string> passed;
  for (size_t i = 0; i < arguments.size(); ++i) {
    if (arguments[i] == "--worker") {
      if (i + 1 == arguments.size()) fail(ErrorCode::usage, "--worker: needs the path of saemill-worker");
      named = arguments[++i];
    } else if (arguments[i].starts_with(kWithValue)) {
      named = arguments[i].substr(kWithValue.size());
    } else {
      passed.push_back(arguments[i]);
    }
  }
  const std::string worker = find_worker(named).string();
  std::vector<char*> words{const_cast<char*>(worker.c_str())};
  for (const auto& argument : passed) words.push_back(const_cast<char*>(argument.c_str()));
  words.push_back(nullptr);
  ::execv(worker.c_str(), words.data());
  fail(ErrorCode::usage, "cannot run {}: {}", worker, std::strerror(errno));
}

}  // namespace saemill
