// saemill gpus: see the devices of this machine, ask which to take, check a choice.
#include <fmt/format.h>

#include <cstdio>

#include "commands.h"
#include "common/base/error.h"
#include "device_source.h"
#include "estimate.h"
#include "gpus_table.h"
#include "watch.h"

namespace saemill {
namespace {

constexpr double kSettleSeconds = 0.3;
constexpr int64_t kMegabyte = 1'000'000;

using Json = nlohmann::ordered_json;

struct Options {
  MachineOptions machine;
  std::string server;
  bool available = false, watch = false, json = false;
  double interval = 1;
  int64_t memory_mb = 0;
  int count = 1;
  std::string kind = "any";
  bool mixed_models = false;
  std::vector<std::string> ids, exclude;
  std::string config;
  std::vector<std::string> overrides;
};

std::vector<Device> shown(const Snapshot& snapshot, const Options& options) {
  std::vector<Device> devices;
  for (const Device& device : snapshot.devices)
    if (!options.available || device.availability == Availability::free) devices.push_back(device);
  return devices;
}

std::string text_of(const Snapshot& snapshot, const Options& options) {
  const auto devices = shown(snapshot, options);
  return options.json ? devices_json(devices).dump() + "\n"
                      : render_table(snapshot, devices, style_of_terminal());
}

int watch_devices(const Options& options) {
  const Interrupt interrupt;  // before the machine starts threads
  MachineOptions machine = options.machine;
  machine.patience = 0.5;  // a driver that starts later is shown then, and Ctrl-C does not wait for it
  const auto source = device_source(machine, options.server);
  source->look(0);  // what is measured over time is there from the second reading on
  if (interrupt.within(options.interval)) return 0;
  return watch(interrupt, options.interval, options.json, [&] { return text_of(*source->look(0), options); });
}

int list(const Options& options) {
  if (options.watch) return watch_devices(options);
  put(text_of(*device_source(options.machine, options.server)->look(kSettleSeconds), options));
  return 0;
}

// "gpu:0" of index 0.
std::string name_of(const Snapshot& snapshot, const Json& index) {
  return short_name(snapshot.devices, snapshot.devices.at(index.get<size_t>()));
}

int recommend_devices(const Options& options) {
  const auto source = device_source(options.machine, options.server);
  const Json found = source->recommend({.memory = options.memory_mb * kMegabyte,
                                        .count = options.count,
                                        .kind = options.kind,
                                        .mixed_models = options.mixed_models,
                                        .exclude = options.exclude});
  const int code = found.contains("choices") ? 0 : 1;
  if (options.json) return put(found.dump() + "\n"), code;
  const auto snapshot = source->look(0);
  if (code == 0) {
    int rank = 0;
    for (const Json& choice : found["choices"]) {
      std::string names;
      for (const Json& index : choice["gpu_ids"])
        names += (names.empty() ? "" : ",") + name_of(*snapshot, index);
      put(fmt::format("{}. {}\n", ++rank, names));
      for (const Json& reason : choice["reasons"]) put(fmt::format("     {}\n", reason.get<std::string>()));
    }
    return code;
  }
  std::fprintf(stderr, "saemill: %s\n", found["detail"].get<std::string>().c_str());
  for (const Json& one : found["rejected"])
    std::fprintf(stderr, "  %s: %s\n", name_of(*snapshot, one["gpu"]).c_str(),
                 one["message"].get<std::string>().c_str());
  return code;
}

int validate_devices(const Options& options) {
  const auto source = device_source(options.machine, options.server);
  int64_t memory = options.memory_mb * kMegabyte;
  if (!options.config.empty())
    memory = estimate_file(options.config, options.overrides,
                           devices_named(*source->look(0), options.ids, options.machine.data), "")
                 .memory_required;
  const Json found = source->validate(options.ids, memory);
  const bool valid = found["valid"].get<bool>();
  if (options.json) return put(found.dump() + "\n"), valid ? 0 : 1;
  const auto print = [&](const char* kind, const Json& problems) {
    for (const Json& problem : problems)
      put(fmt::format("{} {}: {}; {}\n", kind, problem["code"].get<std::string>(),
                      problem["message"].get<std::string>(), problem["fix"].get<std::string>()));
  };
  print("error", found["errors"]);
  print("warning", found["warnings"]);
  if (valid) put(found["warnings"].empty() ? "valid\n" : "valid, with warnings\n");
  return valid ? 0 : 1;
}

void add_server_option(CLI::App& command, Options& options) {
  command
      .add_option(
          "--server", options.server,
          "A server's address, with its token in SAEMILL_TOKEN; default: SAEMILL_SERVER, else the one that "
          "runs with --data, else none: this command looks itself")
      ->type_name("URL");
}

void add_list_options(CLI::App& command, Options& options) {
  command.add_flag("--available", options.available, "Only devices that are free");
  command.add_flag("--watch", options.watch, "Show again and again, in place, until Ctrl-C");
  command.add_option("--interval", options.interval, "Seconds between two looks of --watch")
      ->check(CLI::Range(0.25, 60.0))
      ->capture_default_str();
  command.add_flag("--json", options.json, "{gpu_count, gpus[]} on one line");
  add_server_option(command, options);
  add_machine_options(command, options.machine);
}

}  // namespace

void add_gpus(CLI::App& app, Command& chosen) {
  auto options = std::make_shared<Options>();
  CLI::App* gpus = app.add_subcommand("gpus", "See this machine's devices, who has them, and which to take");
  add_list_options(*gpus, *options);
  gpus->require_subcommand(0, 1);
  gpus->callback([gpus, options, &chosen] {
    if (gpus->get_subcommands().empty()) chosen = [options] { return list(*options); };
  });

  CLI::App* all = gpus->add_subcommand("list", "The same as `saemill gpus`");
  add_list_options(*all, *options);
  all->callback([options, &chosen] { chosen = [options] { return list(*options); }; });

  CLI::App* best =
      gpus->add_subcommand("recommend", "Ranked choices with reasons; exit code 1 where there are too few");
  best->add_option("--memory", options->memory_mb, "Megabytes (10^6 bytes) that each device must have free")
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 40))
      ->type_name("MB");
  best->add_option("--count", options->count, "How many devices")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  best->add_option("--kind", options->kind, "gpu, cpu, or any: GPUs where the machine has some")
      ->check(CLI::IsMember({"any", "gpu", "cpu"}))
      ->capture_default_str();
  best->add_flag("--mixed-models", options->mixed_models, "Accept devices of several models together");
  best->add_option("--exclude", options->exclude, "Devices not to take")->type_name("ID");
  best->add_flag("--json", options->json, "One JSON object, as REST answers");
  add_server_option(*best, *options);
  add_machine_options(*best, options->machine);
  best->callback([options, &chosen] { chosen = [options] { return recommend_devices(*options); }; });

  CLI::App* check =
      gpus->add_subcommand("validate", "Every problem of a choice; exit code 1 where it has errors");
  check->add_option("ids", options->ids, "Indices, uuids or names (gpu:0, cpu:1)")
      ->required()
      ->type_name("ID...");
  auto* memory = check->add_option("--memory", options->memory_mb, "Megabytes (10^6 bytes) needed on each")
                     ->check(CLI::Range(int64_t{0}, int64_t{1} << 40))
                     ->type_name("MB");
  check->add_option("--config", options->config, "A configuration, whose estimate is needed on each")
      ->excludes(memory)
      ->type_name("FILE");
  check->add_option("--set", options->overrides, "A key of the configuration and its value")
      ->type_name("KEY=VALUE")
      ->expected(1)
      ->take_all();
  check->add_flag("--json", options->json, "One JSON object, as REST answers");
  add_server_option(*check, *options);
  add_machine_options(*check, options->machine);
  check->callback([options, &chosen] { chosen = [options] { return validate_devices(*options); }; });
}

}  // namespace saemill
