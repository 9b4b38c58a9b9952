#include <fmt/format.h>

#include <cstdio>

#include "choose_devices.h"
#include "commands.h"
#include "control/launch/job.h"
#include "estimate.h"
#include "progress.h"

namespace saemill {
namespace {

struct TrainArguments {
  JobOptions job;
  std::string config, devices = "auto", leased_to;
  std::string out;
  std::string progress = "bar";
};

int train(const TrainArguments& arguments) {
  JobOptions options = arguments.job;
  options.config = arguments.config;
  options.out = arguments.out;
  // Before anything else runs here: looking at the devices takes threads, which end before ranks start.
  const ChosenDevices chosen =
      choose_devices(arguments.devices, arguments.leased_to, options.worker, [&](int64_t count) {
        const std::string config =
            options.config.empty() ? arguments.out + "/config.json" : options.config.string();
        return estimate_file(config, options.overrides, {count, DeviceMemory::gpu}, options.worker)
            .memory_required;
      });
  options.devices = chosen.devices;
  auto progress = make_progress(arguments.progress);
  if (!chosen.note.empty()) progress->on_message(chosen.note);
  const JobResult job = run_job(options, *progress);
  if (job.already_finished) {
    progress->on_message(fmt::format("{}: this run is finished; nothing is changed", job.run.string()));
  } else if (job.code != 0) {
    progress->on_message(job.message);
  }
  if (job.code == 0 && arguments.progress == "bar") {
    progress.reset();  // the bar is gone before the report is there
    print_report(job);
  }
  return job.code;
}

}  // namespace

void add_train(CLI::App& app, Command& chosen) {
  auto arguments = std::make_shared<TrainArguments>();
  CLI::App* command = app.add_subcommand("train", "Train an SAE on this machine's devices");
  command->add_option("config", arguments->config, "CONFIG.toml (or .json); with --resume: that of the run");
  command
      ->add_option("--set", arguments->job.overrides,
                   "A key and its value, as train.lr=3e-4; may be repeated")
      ->type_name("KEY=VALUE")
      ->expected(1)
      ->take_all();
  command
      ->add_option(
          "--devices", arguments->devices,
          "auto (the best free GPU, else one CPU slot with every core), auto:N, or gpu:0,gpu:1,... or "
          "cpu:0,cpu:1,...: one rank each")
      ->capture_default_str();
  command
      ->add_option("--leased-to", arguments->leased_to,
                   "The training of a server that has leased the devices, as the server starts it")
      ->type_name("ID");
  command->add_option("--out", arguments->out, "The run folder; default: runs/NAME, numbered")
      ->type_name("DIR");
  command->add_flag("--resume", arguments->job.resume,
                    "Continue the run in --out from its newest valid checkpoint");
  command
      ->add_option("--from-checkpoint", arguments->job.from_checkpoint,
                   "With --resume: from this checkpoint, not the newest; later ones are deleted, and their "
                   "steps trained again")
      ->type_name("step-N");
  command->add_flag("--finish", arguments->job.finish,
                    "With --resume: export the checkpoint as the finished SAE, without a further step");
  command->add_option("--progress", arguments->progress, "How progress is shown")
      ->check(CLI::IsMember({"bar", "json", "none"}))
      ->capture_default_str();
  command->add_option("--worker", arguments->job.worker, "saemill-worker; default: the one beside saemill")
      ->type_name("PATH");
  command
      ->add_option("--deadline", arguments->job.deadline, "How long a rank waits for its peers, in seconds")
      ->check(CLI::Range(1.0, 86400.0))
      ->capture_default_str();
  command
      ->add_option("--max-restarts", arguments->job.max_restarts,
                   "How often to start again from the newest checkpoint when a rank or device is lost")
      ->check(CLI::Range(0, 1000))
      ->capture_default_str();
  command->callback([arguments, &chosen] { chosen = [arguments] { return train(*arguments); }; });
}

}  // namespace saemill
