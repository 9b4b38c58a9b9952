// estimate: the plan of a configuration, from which the trainer would allocate.
#include <cstdio>
#include <filesystem>
#include <sstream>

#include "commands.h"
#include "common/base/error.h"
#include "common/plan/plan.h"
#include "engine/data/activation_set.h"

namespace saemill {
namespace {

struct Options {
  std::string config;
  std::vector<std::string> overrides;
  std::string devices = "auto";
  bool json = false;
};

// One rank per device.
int64_t count_ranks(const std::string& devices) {
  if (devices == "auto") return 1;
  int64_t count = 0;
  std::stringstream list(devices);
  for (std::string name; std::getline(list, name, ','); ++count)
    if (!name.starts_with("cpu:") || name.size() < 5 ||
        name.find_first_not_of("0123456789", 4) != std::string::npos)
      fail(ErrorCode::usage, "--devices names \"{}\"; accepted: auto, or cpu:K, separated by commas", name);
  return std::max<int64_t>(count, 1);
}

int estimate(const Options& options) {
  const int64_t ranks = count_ranks(options.devices);
  RunConfig config = load_run_config(options.config, options.overrides);
  int64_t d_in = config.activations.d_in, rows = config.train.batch_size;
  if (!config.activations.path.empty() && std::filesystem::exists(config.activations.path)) {
    const auto set = ActivationSet::open(config.activations.path, config.activations.tensor);
    d_in = set->d_in();
    rows = set->rows();
  }
  if (d_in < 1)
    fail(ErrorCode::bad_config,
         "{}: activations.path \"{}\" is not there; accepted: a path, or activations.d_in", options.config,
         config.activations.path);
  config = resolve_run_config(config, d_in, rows, ranks);
  const Plan plan = make_plan({config, d_in, ranks, 1, 0});
  const nlohmann::ordered_json json = plan.to_json();
  if (options.json) return std::printf("%s\n", json.dump().c_str()), 0;
  std::printf("%.1f MB for %lld rank(s), micro-batch %lld\n", static_cast<double>(plan.total_bytes()) / 1e6,
              static_cast<long long>(ranks), static_cast<long long>(plan.micro_batch_size));
  for (const auto& [category, bytes] : json["breakdown"].items())
    std::printf("  %-10s %10.1f MB\n", category.c_str(), bytes.get<double>() / 1e6);
  return 0;
}

}  // namespace

void add_estimate(CLI::App& app, Run& run) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("estimate", "Memory that a configuration needs");
  command->add_option("CONFIG", options->config, "A .toml or .json configuration")->required();
  command->add_option("--set", options->overrides, "key=value");
  command->add_option("--devices", options->devices, "auto, or cpu:0,cpu:1,...: one rank each");
  command->add_flag("--json", options->json, "One JSON object on one line");
  command->callback([options, &run] { run = [options] { return estimate(*options); }; });
}

}  // namespace saemill
