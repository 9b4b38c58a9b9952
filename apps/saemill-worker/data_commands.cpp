// inspect, eval, checkpoints: what can be said of files.
#include <sched.h>

#include <cstdio>

#include "commands.h"
#include "common/base/error.h"
#include "engine/train/checkpoint.h"
#include "engine/train/evaluate.h"
#include "engine/train/rank_device.h"

namespace saemill {
namespace {

struct Options {
  std::string path, activations, tensor;
  int64_t at_most = INT64_MAX;
  bool json = false;
};

int threads() {
  cpu_set_t set;
  return ::sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
}

void print_line(const std::string& text) {
  std::printf("%s\n", text.c_str());
}

int inspect(const Options& options) {
  const auto set = ActivationSet::open(options.path, options.tensor);
  const nlohmann::ordered_json result{{"files", set->files()},   {"rows", set->rows()},
                                      {"d_in", set->d_in()},     {"dtype", set->dtype()},
                                      {"tensor", set->tensor()}, {"bytes", set->bytes()}};
  if (options.json) return print_line(result.dump()), 0;
  print_line(fmt::format("{}: {} rows of {} {} values in {} file(s), {:.1f} MB{}", options.path, set->rows(),
                         set->d_in(), set->dtype(), set->files(), static_cast<double>(set->bytes()) / 1e6,
                         set->tensor().empty() ? "" : ", tensor " + set->tensor()));
  for (const auto& [key, value] : set->metadata()) print_line(fmt::format("  {}: {}", key, value));
  return 0;
}

int eval(const Options& options) {
  const auto set = ActivationSet::open(options.activations, options.tensor);
  const SaeWeights sae = read_sae(options.path);
  const RankDevice device = cpu_device(threads())(sae.d_in, sae.d_sae, "f32", nullptr);
  const Evaluation result = evaluate_sae(sae, *set, 0, *device.backend);
  if (options.json) return print_line(result.to_json().dump()), 0;
  print_line(fmt::format(
      "FVU                 {:.5f}\nexplained variance  {:.5f}\nL0                  {:.2f}\ndead fraction     "
      "  {:.4f}\n"
      "MSE                 {:.6g}\ncosine              {:.5f}\nrows                {}",
      result.fvu, 1 - result.fvu, result.l0, result.dead_fraction, result.mse, result.cosine, result.rows));
  return 0;
}

int checkpoints(const Options& options) {
  std::vector<std::string> warnings;
  const auto newest = newest_valid_checkpoint(options.path, &warnings, options.at_most);
  nlohmann::ordered_json result{{"step", nullptr}, {"warnings", warnings}};
  if (newest) result["step"] = newest->step;
  if (options.json) return print_line(result.dump()), 0;
  for (const auto& warning : warnings) print_line("warning: " + warning);
  print_line(newest ? fmt::format("newest valid checkpoint: step {}", newest->step) : "no valid checkpoint");
  return 0;
}

CLI::App* add(CLI::App& app, Run& run, const char* name, const char* help, const char* path_help,
              int (*work)(const Options&), std::shared_ptr<Options> options) {
  CLI::App* command = app.add_subcommand(name, help);
  command->add_option("PATH", options->path, path_help)->required();
  command->add_flag("--json", options->json, "One JSON object on one line");
  command->callback([options, work, &run] { run = [options, work] { return work(*options); }; });
  return command;
}

}  // namespace

void add_inspect(CLI::App& app, Run& run) {
  auto options = std::make_shared<Options>();
  add(app, run, "inspect", "What an activation file or folder holds", "A shard or a folder of shards",
      inspect, options)
      ->add_option("--tensor", options->tensor, "Tensor name, where a shard holds several");
}

void add_eval(CLI::App& app, Run& run) {
  auto options = std::make_shared<Options>();
  CLI::App* command = add(app, run, "eval", "How well an SAE reconstructs activations",
                          "An SAE folder, e.g. RUN/sae", eval, options);
  command->add_option("--activations", options->activations, "A shard or a folder of shards")->required();
  command->add_option("--tensor", options->tensor, "Tensor name, where a shard holds several");
}

void add_checkpoints(CLI::App& app, Run& run) {
  auto options = std::make_shared<Options>();
  add(app, run, "checkpoints", "The newest valid checkpoint of a run", "A run folder", checkpoints, options)
      ->add_option("--at-most", options->at_most, "Of those up to this step");
}

}  // namespace saemill
