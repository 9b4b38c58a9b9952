// estimate: the plan of a configuration, from which the trainer would allocate.
#include <cstdio>
#include <filesystem>

#include "commands.h"
#include "common/base/error.h"
#include "common/plan/plan.h"
#include "engine/data/activation_set.h"

namespace saemill {
namespace {

struct Options {
  std::string config;
  std::vector<std::string> overrides;
  int64_t ranks = 1;
  bool json = false;
};

int estimate(const Options& options) {
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
  config = resolve_run_config(config, d_in, rows, options.ranks);
  const Plan plan = make_plan({config, d_in, options.ranks, 1, 0});
  if (options.json) return std::printf("%s\n", plan.to_json().dump().c_str()), 0;
  std::printf("%.1f MB for %lld rank(s), micro-batch %lld\n", static_cast<double>(plan.total_bytes()) / 1e6,
              static_cast<long long>(options.ranks), static_cast<long long>(plan.micro_batch_size));
  for (const auto& [category, bytes] : plan.to_json()["breakdown"].items())
    std::printf("  %-10s %10.1f MB\n", category.c_str(), bytes.get<double>() / 1e6);
  return 0;
}

}  // namespace

void add_estimate(CLI::App& app, Run& run) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("estimate", "Memory that a configuration needs");
  command->add_option("CONFIG", options->config, "A .toml or .json configuration")->required();
  command->add_option("--set", options->overrides, "key=value");
  command->add_option("--ranks", options->ranks)->check(CLI::Range(1, 1024));
  command->add_flag("--json", options->json, "One JSON object on one line");
  command->callback([options, &run] { run = [options] { return estimate(*options); }; });
}

}  // namespace saemill
