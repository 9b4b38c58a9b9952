// saemill estimate: what each device must hold, from the plan that the trainer would allocate from.
#include "estimate.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "commands.h"
#include "common/base/error.h"
#include "common/base/memory_text.h"
#include "common/base/proc.h"
#include "control/launch/devices.h"
#include "control/launch/worker_client.h"
#include "gpu_constants.h"
#include "machine.h"

namespace saemill {
namespace {

using Json = nlohmann::ordered_json;

struct Options {
  std::string config, model;
  std::vector<std::string> overrides;
  std::string devices = "auto", worker;
  int64_t d_sae = 0, batch = 0, k = 0;
  std::string architecture, dtype;
  bool json = false, calibrate = false;
};

Estimate estimate_config(const RunConfig& config, const std::string& source, const EstimateDevices& devices,
                         const std::string& worker) {
  std::optional<DataShape> data;
  if (!config.activations.path.empty() && std::filesystem::exists(config.activations.path)) {
    SignalRequests signals;
    const ActivationsInfo info =
        inspect_activations(find_worker(worker), config.activations.path, config.activations.tensor, signals);
    data = {info.rows, info.d_in};
  }
  try {
    return estimate_on(config, data, devices, static_cast<int64_t>(allowed_cores().size()));
  } catch (const ConfigError& error) {
    throw ConfigError(error.problems(), source);
  }
}

RunConfig config_of_model(const Options& options) {
  RunConfig config;
  config.activations.d_in = model_width(options.model);
  config.sae.d_sae = options.d_sae;
  if (options.batch > 0) config.train.batch_size = options.batch;
  if (options.k > 0) config.sae.k = options.k;
  if (!options.architecture.empty()) config.sae.architecture = options.architecture;
  if (!options.dtype.empty()) config.train.dtype = options.dtype;
  config.train.steps = 1;
  return run_config_from_json(run_config_to_json(config));  // the same checks as a file's
}

void print(const Json& json) {
  for (const Json& device : json["devices"]) {
    std::printf("%s  %s", device["gpu"].get<std::string>().c_str(),
                memory_text(device["memory_required"].get<int64_t>()).c_str());
    if (device.contains("memory_free"))
      std::printf(" of %s free: %s", memory_text(device["memory_free"].get<int64_t>()).c_str(),
                  device["fits"].get<bool>() ? "fits" : "does not fit");
    std::printf("\n");
  }
  std::printf("each device:\n");
  for (const auto& [category, bytes] : json["devices"][0]["breakdown"].items())
    std::printf("  %-10s %10s\n", category.c_str(), memory_text(bytes.get<int64_t>()).c_str());
  if (!json.value("context_measured", true))
    std::printf("the context is assumed; `saemill estimate --calibrate --devices gpu:0` measures it here\n");
  const Json& batch = json["batch"];
  std::printf("batch %lld, at most %lld on a device, in %lld micro-batch%s\n",
              batch["global"].get<long long>(), batch["per_device"].get<long long>(),
              batch["micro_batches"].get<long long>(), batch["micro_batches"] == 1 ? "" : "es");
}

// A slot's share of the memory depends on how many there are: those named.
int slots_of(const DeviceNames& asked) {
  int slots = std::max(asked.automatic, 1);
  for (const std::string& name : asked.names)
    if (name.starts_with("cpu:")) slots = std::max(slots, std::stoi(name.substr(4)) + 1);
  return slots;
}

// Devices of one kind.
std::vector<std::string> names_of(const DeviceNames& asked, const Snapshot& snapshot) {
  const auto names = asked.automatic > 0 ? first_names(snapshot, asked.automatic) : asked.names;
  if (!of_one_kind(snapshot, names))
    fail(ErrorCode::usage, "--devices: a training runs on GPUs or on CPU slots, not on both");
  return names;
}

int calibrate(const Options& options) {
  std::vector<Device> gpus;
  {
    Machine machine({});
    const auto snapshot = machine.look();
    const auto names = names_of(parse_devices(options.devices), *snapshot);
    for (const Device* gpu : gpus_among(*snapshot, names)) gpus.push_back(*gpu);
  }
  if (gpus.empty())
    fail(ErrorCode::usage, "estimate --calibrate: {} is no GPU of this machine", options.devices);
  Json list = Json::array();
  for (const Device& gpu : gpus)
    if (!gpu.left_out.empty())
      fail(ErrorCode::usage, "estimate --calibrate: {} is not among {}", gpu.uuid, gpu.left_out);
  for (const Device& gpu : gpus) {
    const DeviceConstants found = measure_constants(data_folder(""), gpu, options.worker);
    list.push_back({{"name", gpu.name}, {"uuid", gpu.uuid}, {"context", found.context}});
    if (!options.json)
      std::printf("%s: %s besides a training's buffers\n", gpu.name.c_str(),
                  memory_text(found.context).c_str());
  }
  if (options.json) std::printf("%s\n", Json{{"calibrated", list}}.dump().c_str());
  return 0;
}

int run(const Options& options) {
  if (options.calibrate) return calibrate(options);
  if (options.config.empty() == options.model.empty())
    fail(ErrorCode::usage, "estimate: give a configuration, or --model with --d-sae");
  if (!options.model.empty() && options.d_sae < 1)
    fail(ErrorCode::usage, "estimate --model: needs --d-sae, the number of latents");
  const DeviceNames asked = parse_devices(options.devices);
  Machine machine({.data = "", .cpu_slots = slots_of(asked)});
  const auto snapshot = machine.look();
  if (asked.automatic > 0 && gpus_unknown(snapshot->driver))
    std::fprintf(stderr, "saemill: for CPU slots, since the NVIDIA driver is %s\n",
                 words_of(snapshot->driver).c_str());
  const auto names = names_of(asked, *snapshot);
  const EstimateDevices devices = devices_named(*snapshot, names);
  const Estimate found =
      options.model.empty()
          ? estimate_file(options.config, options.overrides, devices, options.worker)
          : estimate_config(config_of_model(options), "--model " + options.model, devices, options.worker);
  const Json json = to_json(found, devices, names, *snapshot);
  if (options.json) {
    std::printf("%s\n", json.dump().c_str());
  } else {
    print(json);
  }
  return 0;
}

}  // namespace

Estimate estimate_file(const std::string& config, const std::vector<std::string>& overrides,
                       const EstimateDevices& devices, const std::string& worker) {
  return estimate_config(load_run_config(config, overrides), config, devices, worker);
}

EstimateDevices devices_named(const Snapshot& snapshot, const std::vector<std::string>& names) {
  return estimate_devices(snapshot, names, [](const Device& gpu, const std::string& driver_version) {
    return measured_constants(data_folder(""), gpu, driver_version);
  });
}

void add_estimate(CLI::App& app, Command& chosen) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("estimate", "The memory that a training takes on each device, without running it");
  command->add_option("config", options->config, "CONFIG.toml or .json");
  command->add_option("--set", options->overrides, "A key of the configuration and its value")
      ->type_name("KEY=VALUE")
      ->expected(1)
      ->take_all();
  command->add_option("--model", options->model, "Instead of a configuration: a model by its name");
  command->add_option("--d-sae", options->d_sae, "With --model: number of latents")
      ->check(CLI::PositiveNumber);
  command->add_option("--batch", options->batch, "With --model: global batch; default 4096")
      ->check(CLI::PositiveNumber);
  command->add_option("--k", options->k, "With --model: active latents; default 32")
      ->check(CLI::PositiveNumber);
  command->add_option("--architecture", options->architecture, "With --model; default topk");
  command->add_option("--dtype", options->dtype, "With --model; default bf16");
  command
      ->add_option("--devices", options->devices,
                   "auto, auto:N, gpu:0,gpu:1,... (this machine need not have them), or cpu:0,cpu:1,...")
      ->capture_default_str();
  command->add_option("--worker", options->worker, "saemill-worker; default: the one beside saemill")
      ->type_name("PATH");
  command->add_flag(
      "--calibrate", options->calibrate,
      "Instead: measures what a process holds on these GPUs besides, and keeps it for later estimates");
  command->add_flag("--json", options->json, "One JSON object on one line");
  command->callback([options, &chosen] { chosen = [options] { return run(*options); }; });
}

}  // namespace saemill
