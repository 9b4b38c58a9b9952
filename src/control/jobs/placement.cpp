#include "control/jobs/placement.h"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "common/base/error.h"
#include "common/base/proc.h"

namespace saemill {
namespace {

bool is_well(const Device& device) {
  return device.availability == Availability::free || device.availability == Availability::leased ||
         device.availability == Availability::foreign;
}

const Device* with_uuid(const Snapshot& snapshot, const std::string& uuid) {
  const auto at = std::find_if(snapshot.devices.begin(), snapshot.devices.end(),
                               [&](const Device& device) { return device.uuid == uuid; });
  return at == snapshot.devices.end() ? nullptr : &*at;
}

// Those that can still be had; where none can, it waits for all of them.
std::vector<std::string> still_there(const std::vector<std::string>& uuids, const Snapshot& snapshot) {
  std::vector<std::string> left;
  for (const std::string& uuid : uuids) {
    const Device* device = with_uuid(snapshot, uuid);
    if (device != nullptr && is_well(*device)) left.push_back(uuid);
  }
  return left.empty() ? uuids : left;
}

int well_devices(const Snapshot& snapshot) {
  const bool gpus = std::any_of(snapshot.devices.begin(), snapshot.devices.end(), [](const Device& device) {
    return device.kind == DeviceKind::gpu && counts_as_gpu(device);
  });
  return static_cast<int>(
      std::count_if(snapshot.devices.begin(), snapshot.devices.end(), [&](const Device& device) {
        return is_well(device) && device.kind == (gpus ? DeviceKind::gpu : DeviceKind::cpu);
      }));
}

}  // namespace

std::vector<std::string> device_list(const std::string& json) {
  std::vector<std::string> uuids;
  const auto list = nlohmann::json::parse(json, nullptr, /*allow_exceptions=*/false);
  if (!list.is_array()) return uuids;
  for (const auto& uuid : list)
    if (uuid.is_string()) uuids.push_back(uuid.get<std::string>());
  return uuids;
}

int64_t disk_room(const RunConfig& config) {
  const int64_t weights =
      config.sae.d_sae * config.activations.d_in * 2 * static_cast<int64_t>(sizeof(float));
  return 3 * weights + weights;  // weights and two moments; the SAE
}

WaitingJob Placement::waiting(const TrainingRow& training, const Snapshot& snapshot,
                              std::optional<double> left) {
  WaitingJob job;
  job.id = training.id;
  job.priority = static_cast<int>(training.priority);
  job.order = training.arrival;
  job.held = training.held;
  job.count = static_cast<int>(training.device_count);
  if (training.asked_gpu_ids) job.devices = device_list(*training.asked_gpu_ids);
  if (training.restarts > 0) {
    if (!job.devices.empty()) job.devices = still_there(job.devices, snapshot);
    job.count = std::min(job.count, std::max(1, well_devices(snapshot)));
  }
  const auto names = job.devices.empty() ? first_names(snapshot, job.count) : job.devices;
  Known& of_it = known(training);
  job.duration = left ? left : expected_(training, of_it.config, names, snapshot);
  if (training.time_limit_s) {
    const auto limit = static_cast<double>(*training.time_limit_s);
    job.duration = std::min(limit, job.duration.value_or(limit));
  }
  job.memory = memory(of_it, snapshot, names);
  return job;
}

Placement::Known& Placement::known(const TrainingRow& training) {
  const auto found = known_.find(training.id);
  if (found != known_.end()) return found->second;
  auto config = run_config_from_json(nlohmann::json::parse(training.config));
  return known_.emplace(training.id, Known{std::move(config), {}}).first->second;
}

int64_t Placement::memory(Known& known, const Snapshot& snapshot, const std::vector<std::string>& devices) {
  const EstimateDevices on = estimate_devices(snapshot, devices, constants_);
  const auto key = fmt::format("{} {}", devices.size(), on.memory == DeviceMemory::gpu ? "gpu" : "cpu");
  const auto found = known.memory.find(key);
  if (found != known.memory.end()) return found->second;
  int64_t bytes = 0;  // so many devices do not suit it: the launcher says so
  try {
    const auto cores = static_cast<int64_t>(allowed_cores().size());
    bytes = estimate_on(known.config, std::nullopt, on, cores).memory_required;
  } catch (const ConfigError&) {
  }
  return known.memory[key] = bytes;
}

}  // namespace saemill
