// saemill estimate: what each device must hold, from the plan that the trainer would allocate from, and,
// where a server runs, how fast it will go, as that server learned from the trainings before.
#include "estimate.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "commands.h"
#include "common/base/error.h"
#include "common/base/proc.h"
#include "common/base/text.h"
#include "control/launch/devices.h"
#include "control/launch/worker_client.h"
#include "find_server.h"
#include "gpu_constants.h"
#include "machine.h"
#include "watch.h"

namespace saemill {
namespace {

using Json = nlohmann::ordered_json;

struct Options {
  std::string config, model;
  std::vector<std::string> overrides;
  std::string devices = "auto", worker;
  int64_t d_sae = 0, batch = 0, k = 0;
  std::string architecture, dtype;
  ServerChoice server;
  bool json = false, calibrate = false;
};

// What is asked about.
struct Asked {
  Json tree;                      // as it was given
  RunConfig config;               // the same with its defaults
  std::string source;             // of the configuration, for what is wrong with it
  std::optional<DataShape> data;  // absent: its activations are not on this machine
};

// What is wrong with a configuration is told with its source.
template <typename Work>
auto naming(const std::string& source, const Work& work) {
  try {
    return work();
  } catch (const ConfigError& error) {
    throw ConfigError(error.problems(), source);
  }
}

Asked asked_training(const std::string& source, const std::vector<std::string>& overrides,
                     const std::string& worker) {
  const Json tree = load_config_tree(source, overrides);  // once: it may be a pipe
  Asked asked{tree, naming(source, [&] { return run_config_from_json(tree); }), source, std::nullopt};
  const ActivationsConfig& activations = asked.config.activations;
  if (activations.path.empty() || !std::filesystem::exists(activations.path)) return asked;
  SignalRequests signals;
  const ActivationsInfo info =
      inspect_activations(find_worker(worker), activations.path, activations.tensor, signals);
  asked.data = {info.rows, info.d_in};
  return asked;
}

Estimate estimate_asked(const Asked& asked, const EstimateDevices& devices) {
  const auto cores = static_cast<int64_t>(allowed_cores().size());
  return naming(asked.source, [&] { return estimate_on(asked.config, asked.data, devices, cores); });
}

Asked asked_model(const Options& options) {
  Json tree{{"activations", {{"d_in", model_width(options.model)}}},
            {"sae", {{"d_sae", options.d_sae}}},
            {"train", {{"steps", 1}}}};
  if (options.batch > 0) tree["train"]["batch_size"] = options.batch;
  if (options.k > 0) tree["sae"]["k"] = options.k;
  if (!options.architecture.empty()) tree["sae"]["architecture"] = options.architecture;
  if (!options.dtype.empty()) tree["train"]["dtype"] = options.dtype;
  const std::string source = "--model " + options.model;
  return {tree, naming(source, [&] { return run_config_from_json(tree); }), source, std::nullopt};
}

void print_speed(const Json& json, bool served) {
  if (!served)
    return put("speed not known: a server (`saemill serve`) learns it from the trainings that it runs\n");
  const auto speed = json.find("activations_per_second");
  if (speed == json.end())
    return put("speed not known: this server has run no training on such devices yet\n");
  std::string text = fmt::format("{:.0f} activations/s", speed->get<double>());
  if (json.contains("efficiency"))
    text += fmt::format(", efficiency {:.0f} %", 100 * json["efficiency"].get<double>());
  const auto runs = json["based_on"].get<int64_t>();
  text += fmt::format(", learned from {} earlier training{}", runs, runs == 1 ? "" : "s");
  if (json.contains("duration_s"))
    text += fmt::format("; {} steps in {}", json["steps"].get<int64_t>(),
                        duration_text(json["duration_s"].get<double>()));
  put(text + "\n");
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
  if (!options.server.server.empty())
    fail(ErrorCode::usage, "estimate --calibrate: measures on this machine; not with --server");
  std::vector<Device> gpus;
  {
    Machine machine({.data = options.server.data});
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
    const DeviceConstants found = measure_constants(data_folder(options.server.data), gpu, options.worker);
    list.push_back({{"name", gpu.name}, {"uuid", gpu.uuid}, {"context", found.context}});
    if (!options.json)
      std::printf("%s: %s besides a training's buffers\n", gpu.name.c_str(),
                  memory_text(found.context).c_str());
  }
  if (options.json) std::printf("%s\n", Json{{"calibrated", list}}.dump().c_str());
  return 0;
}

Json estimate_here(const Asked& asked, const DeviceNames& devices, const std::string& data) {
  Machine machine({.data = data, .cpu_slots = slots_of(devices)});
  const auto snapshot = machine.look();
  if (devices.automatic > 0 && gpus_unknown(snapshot->driver))
    std::fprintf(stderr, "saemill: for CPU slots, since the NVIDIA driver is %s\n",
                 words_of(snapshot->driver).c_str());
  const auto names = names_of(devices, *snapshot);
  const EstimateDevices found = devices_named(*snapshot, names, data);
  return to_json(estimate_asked(asked, found), found, names, *snapshot);
}

// The keys that were given and no others: the server may be of a version that has not all of them. The width
// of activations that are on this machine is all that it need know of them, so it may be one that sees them
// elsewhere, or not at all.
Json estimate_there(const net::ServerAddress& server, const Asked& asked, const DeviceNames& devices) {
  Json body{{"config", asked.tree}};
  Json& activations = body["config"]["activations"];
  if (asked.data) activations["d_in"] = asked.data->d_in;
  if (activations.value("d_in", int64_t{0}) > 0) activations.erase("path");
  if (devices.automatic > 0)
    body["device_count"] = devices.automatic;
  else
    body["gpu_ids"] = devices.names;
  try {
    return net::Client(server).json("POST", "/api/v1/trainings/estimate", body.dump());
  } catch (const net::AnswerError& error) {
    if (error.code() != "invalid_config") throw;
    fail(ErrorCode::bad_config, "{}: {}", asked.source, error.problem());
  }
}

// How long the run is; absent: its activations are not on this machine.
std::optional<RunConfig> resolve(const Asked& asked, const DeviceNames& devices) {
  if (!asked.data) return std::nullopt;
  const auto count = std::max<int64_t>(devices.automatic, static_cast<int64_t>(devices.names.size()));
  return naming(asked.source, [&] {
    return std::optional(resolve_run_config(asked.config, asked.data->d_in, asked.data->rows, count));
  });
}

// {steps, duration_s} where the speed is known.
void add_duration(Json& json, const TrainConfig& train) {
  const auto speed = json.find("activations_per_second");
  if (speed == json.end()) return;
  const double seconds = static_cast<double>(train.steps * train.batch_size) / speed->get<double>();
  json["steps"] = train.steps;
  json["duration_s"] = seconds;
}

int run(const Options& options) {
  if (options.calibrate) return calibrate(options);
  if (options.config.empty() == options.model.empty())
    fail(ErrorCode::usage, "estimate: give a configuration, or --model with --d-sae");
  if (!options.model.empty() && options.d_sae < 1)
    fail(ErrorCode::usage, "estimate --model: needs --d-sae, the number of latents");
  const DeviceNames devices = parse_devices(options.devices);
  const Asked asked = options.model.empty()
                          ? asked_training(options.config, options.overrides, options.worker)
                          : asked_model(options);
  const auto resolved = resolve(asked, devices);
  const auto server = find_answering_server(options.server);
  Json json =
      server ? estimate_there(*server, asked, devices) : estimate_here(asked, devices, options.server.data);
  if (resolved) add_duration(json, resolved->train);
  if (options.json) {
    put(json.dump() + "\n");
  } else {
    print(json);
    print_speed(json, server.has_value());
  }
  return 0;
}

}  // namespace

Estimate estimate_file(const std::string& config, const std::vector<std::string>& overrides,
                       const EstimateDevices& devices, const std::string& worker) {
  return estimate_asked(asked_training(config, overrides, worker), devices);
}

EstimateDevices devices_named(const Snapshot& snapshot, const std::vector<std::string>& names,
                              const std::string& data) {
  return estimate_devices(snapshot, names, [&](const Device& gpu, const std::string& driver_version) {
    return measured_constants(data_folder(data), gpu, driver_version);
  });
}

void add_estimate(CLI::App& app, Command& chosen) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand(
      "estimate", "The memory that a training takes on each device, and its speed, without running it");
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
  add_server_options(*command, options->server);
  command->add_option("--worker", options->worker, "saemill-worker; default: the one beside saemill")
      ->type_name("PATH");
  command->add_flag(
      "--calibrate", options->calibrate,
      "Instead: measures what a process holds on these GPUs besides, and keeps it for later estimates");
  command->add_flag("--json", options->json, "One JSON object on one line");
  command->callback([options, &chosen] { chosen = [options] { return run(*options); }; });
}

}  // namespace saemill
