#include "control/select/device_estimate.h"

#include <algorithm>

#include "common/base/error.h"
#include "control/select/selection.h"

namespace saemill {
namespace {

using Json = nlohmann::ordered_json;

bool is_slot(const Snapshot& snapshot, const std::string& name) {
  const Device* device = find_device(snapshot.devices, name);
  return device != nullptr ? device->kind == DeviceKind::cpu : name.starts_with("cpu");
}

int64_t width(const RunConfig& config, const std::optional<DataShape>& data) {
  const ActivationsConfig& activations = config.activations;
  if (data && activations.d_in != 0 && activations.d_in != data->d_in)
    throw ConfigError({{"activations.d_in", "invalid_value",
                        fmt::format("activations.d_in is {}, but {} holds {}", activations.d_in,
                                    activations.path, data->d_in),
                        activations.d_in, fmt::format("0 or {}", data->d_in)}});
  if (data) return data->d_in;
  if (activations.d_in < 1)
    throw ConfigError(
        {{"activations.path", "invalid_value",
          fmt::format("activations.path \"{}\" is not there; accepted: a path, or activations.d_in",
                      activations.path),
          activations.path, "a path, or activations.d_in"}});
  return activations.d_in;
}

// Each value may be in its range, and their product beyond what bytes can be counted in.
void refuse_beyond_counting(const RunConfig& config, const EstimateDevices& devices) {
  constexpr double kMost = 1LL << 50;
  const SaeConfig& sae = config.sae;
  const int64_t rows = std::max(sae.d_sae, config.train.batch_size);
  const int64_t slots = sae.architecture == "topk" ? std::max(sae.k, sae.aux_k) : sparse_l0_limit(sae.d_sae);
  const double numbers = static_cast<double>(rows) *
                         static_cast<double>(std::max(config.activations.d_in, slots)) *
                         static_cast<double>(devices.count);
  if (numbers > kMost)
    throw ConfigError(
        {{"sae.d_sae", "invalid_value",
          fmt::format("sae.d_sae {}, train.batch_size {}, width {} on {} devices: more memory than "
                      "there is anywhere",
                      sae.d_sae, config.train.batch_size, config.activations.d_in, devices.count),
          sae.d_sae}});
}

}  // namespace

int64_t threads_of_rank(int64_t cores, int64_t devices) {
  return devices > cores ? 1 : (cores + devices - 1) / devices;
}

Estimate estimate_on(RunConfig config, const std::optional<DataShape>& data, const EstimateDevices& devices,
                     int64_t cores) {
  const int64_t d_in = width(config, data), rows = data ? data->rows : 0;
  TrainConfig& train = config.train;
  if (rows == 0) train.epochs = 0;
  if (train.steps == 0 && train.tokens == 0 && !(train.epochs > 0)) {
    // How long a run takes is not known, and does not change what it holds.
    train.steps = 1;
    train.lr_warmup_steps = train.lr_decay_steps = 0;
  }
  const RunConfig resolved =
      resolve_run_config(std::move(config), d_in, std::max<int64_t>(rows, 1), devices.count);
  refuse_beyond_counting(resolved, devices);
  const bool gpu = devices.memory == DeviceMemory::gpu;
  return estimate({resolved, d_in, devices.count, threads_of_rank(cores, devices.count),
                   gpu ? devices.gpu : cpu_constants(), devices.memory});
}

std::vector<std::string> first_names(const Snapshot& snapshot, int64_t count) {
  const auto& devices = snapshot.devices;
  const bool has_gpu = std::any_of(devices.begin(), devices.end(), counts_as_gpu);
  std::vector<std::string> names;
  const auto full = [&] { return static_cast<int64_t>(names.size()) == count; };
  int64_t next = 0;  // beyond what is there, it goes on counting
  for (const Device& device : devices) {
    if (!has_gpu || device.kind == DeviceKind::cpu) continue;
    ++next;
    if (!full() && counts_as_gpu(device)) names.push_back(short_name(devices, device));
  }
  while (!full()) names.push_back(fmt::format("{}:{}", has_gpu ? "gpu" : "cpu", next++));
  return names;
}

EstimateDevices estimate_devices(const Snapshot& snapshot, const std::vector<std::string>& names,
                                 const MeasuredConstants& measured) {
  ensure(!names.empty(), "an estimate without devices");
  const auto here = std::find_if(names.begin(), names.end(), [&](const std::string& name) {
    return find_device(snapshot.devices, name) != nullptr;
  });
  EstimateDevices devices;
  devices.count = static_cast<int64_t>(names.size());
  if (is_slot(snapshot, here != names.end() ? *here : names.front())) return devices;
  devices.memory = DeviceMemory::gpu;
  const auto gpus = gpus_among(snapshot, names);
  if (gpus.empty() || !measured) return devices;
  const auto constants = measured(*gpus.front(), snapshot.driver.driver_version);
  if (constants) devices.gpu = *constants;
  devices.gpu_measured = constants.has_value();
  return devices;
}

bool of_one_kind(const Snapshot& snapshot, const std::vector<std::string>& names) {
  return std::all_of(names.begin(), names.end(), [&](const std::string& name) {
    return is_slot(snapshot, name) == is_slot(snapshot, names.front());
  });
}

std::vector<const Device*> gpus_among(const Snapshot& snapshot, const std::vector<std::string>& names) {
  std::vector<const Device*> gpus;
  for (const std::string& name : names)
    if (const Device* device = find_device(snapshot.devices, name);
        device != nullptr && device->kind != DeviceKind::cpu)
      gpus.push_back(device);
  return gpus;
}

nlohmann::ordered_json to_json(const Estimate& estimate, const EstimateDevices& devices,
                               const std::vector<std::string>& names, const Snapshot& snapshot) {
  Json list = Json::array(), breakdown = Json::object();
  for (const auto& [category, bytes] : estimate.breakdown) breakdown[category] = bytes;
  for (const std::string& name : names) {
    Json device{{"gpu", name}, {"memory_required", estimate.memory_required}};
    const Device* found = find_device(snapshot.devices, name);
    const MemoryFit fit =
        found != nullptr ? memory_fit(*found, estimate.memory_required) : MemoryFit::unknown;
    if (fit != MemoryFit::unknown) {
      device["memory_free"] = *found->memory_free;
      device["fits"] = fit != MemoryFit::too_small;
    }
    device["breakdown"] = breakdown;
    list.push_back(std::move(device));
  }
  Json json{{"devices", std::move(list)},
            {"batch",
             {{"global", estimate.batch_global},
              {"per_device", estimate.batch_per_device},
              {"micro_batches", estimate.micro_batches}}},
            {"total_memory", estimate.total}};
  if (devices.memory == DeviceMemory::gpu) json["context_measured"] = devices.gpu_measured;
  return json;
}

}  // namespace saemill
