#include "control/monitor/device.h"

#include <algorithm>
#include <array>

#include "common/base/clock.h"
#include "control/store/device_history.h"

namespace saemill {
namespace {

using Json = nlohmann::ordered_json;

template <typename T>
void put(Json& json, const char* key, const std::optional<T>& value) {
  if (value) json[key] = *value;
}

Json rates_json(const DeviceRates& rates) {
  Json json = Json::object();
  put(json, "tx", rates.tx);
  put(json, "rx", rates.rx);
  return json;
}

Json ecc_json(const EccCounts& ecc) {
  Json json = Json::object();
  put(json, "corrected", ecc.corrected);
  put(json, "uncorrected", ecc.uncorrected);
  put(json, "remapped_corrected", ecc.remapped_corrected);
  put(json, "remapped_uncorrected", ecc.remapped_uncorrected);
  put(json, "remap_pending", ecc.remap_pending);
  put(json, "remap_failure", ecc.remap_failure);
  return json;
}

Json reason_json(const Reason& reason) {
  return {{"code", reason.code}, {"message", reason.message}};
}

Json processes_json(const std::vector<DeviceProcess>& processes) {
  Json list = Json::array();
  for (const DeviceProcess& process : processes) {
    Json json{{"pid", process.pid}, {"type", process.type}};
    put(json, "user", process.user);
    put(json, "command", process.command);
    put(json, "memory_used", process.memory_used);
    put(json, "training_id", process.training_id);
    list.push_back(std::move(json));
  }
  return list;
}

// Whole objects are absent where nothing in them is known.
void put_object(Json& json, const char* key, Json object) {
  if (!object.empty()) json[key] = std::move(object);
}

void put_metrics(Json& json, const Device& device) {
  put(json, "memory_total", device.memory_total);
  put(json, "memory_used", device.memory_used);
  put(json, "memory_free", device.memory_free);
  put(json, "memory_reserved", device.memory_reserved);
  put(json, "utilization", device.utilization);
  put(json, "memory_utilization", device.memory_utilization);
  put(json, "temperature", device.temperature);
  put(json, "power_draw", device.power_draw);
  put(json, "power_limit", device.power_limit);
  put(json, "energy", device.energy);
  put(json, "fan_speed", device.fan_speed);
  Json clocks = Json::object();
  put(clocks, "sm", device.clock_sm);
  put(clocks, "memory", device.clock_memory);
  put_object(json, "clocks", std::move(clocks));
  put(json, "throttle", device.throttle);
  put_object(json, "pcie", rates_json(device.pcie));
  put_object(json, "nvlink", rates_json(device.nvlink));
  put_object(json, "ecc", ecc_json(device.ecc));
  put(json, "last_xid", device.last_xid);
  put(json, "compute_mode", device.compute_mode);
  put(json, "persistence_mode", device.persistence_mode);
}

}  // namespace

const char* to_string(DeviceKind kind) {
  constexpr std::array<const char*, 3> kNames = {"gpu", "mig", "cpu"};
  return kNames[static_cast<size_t>(kind)];
}

const char* to_string(Availability availability) {
  constexpr std::array<const char*, kAvailabilities> kNames = {"free", "leased",     "foreign", "unhealthy",
                                                               "lost", "prohibited", "unknown"};
  return kNames[static_cast<size_t>(availability)];
}

nlohmann::ordered_json to_json(const Device& device) {
  Json json{{"index", device.index},
            {"uuid", device.uuid},
            {"kind", to_string(device.kind)},
            {"name", device.name}};
  put(json, "pci_bus_id", device.pci_bus_id);
  put(json, "parent_uuid", device.parent_uuid);
  put_metrics(json, device);
  Json reasons = Json::array();
  for (const Reason& reason : device.health.reasons) reasons.push_back(reason_json(reason));
  json["health"] = {{"ok", device.health.ok()}, {"reasons", reasons}};
  if (device.processes) json["processes"] = processes_json(*device.processes);
  json["availability"] = to_string(device.availability);
  json["reason"] = reason_json(device.reason);
  json["is_busy"] = device.is_busy();
  if (!device.current_job.empty()) {
    json["current_job"] = device.current_job;
    json["current_job_type"] = device.current_job_type;
  }
  json["sampled_at"] = utc_time(device.sampled_at);
  json["age_ms"] = static_cast<int64_t>(device.age_ms);
  return json;
}

std::string short_name(const std::vector<Device>& devices, const Device& device) {
  const bool cpu = device.kind == DeviceKind::cpu;
  const auto before = [&](const Device& other) {
    return (other.kind == DeviceKind::cpu) == cpu && other.index < device.index;
  };
  return fmt::format("{}:{}", cpu ? "cpu" : "gpu", std::count_if(devices.begin(), devices.end(), before));
}

const Device* find_device(const std::vector<Device>& devices, const std::string& id) {
  constexpr size_t kShortUuid = 12;  // "GPU-" and eight characters, which CUDA accepts as well
  for (const Device& device : devices) {
    const bool uuid = device.uuid == id ||
                      (id.size() == kShortUuid && id.starts_with("GPU-") && device.uuid.starts_with(id));
    if (uuid || std::to_string(device.index) == id || short_name(devices, device) == id) return &device;
  }
  return nullptr;
}

void Topology::set(const std::string& a, const std::string& b, Link link) {
  const auto pair = std::minmax(a, b);
  const std::pair<std::string, std::string> key{pair.first, pair.second};
  const auto at =
      std::lower_bound(links_.begin(), links_.end(), key,
                       [](const auto& entry, const auto& wanted) { return entry.first < wanted; });
  if (at != links_.end() && at->first == key) {
    at->second = link;
  } else {
    links_.insert(at, {key, link});
  }
}

Link Topology::between(const std::string& a, const std::string& b) const {
  const auto pair = std::minmax(a, b);
  const std::pair<std::string, std::string> key{pair.first, pair.second};
  const auto at =
      std::lower_bound(links_.begin(), links_.end(), key,
                       [](const auto& entry, const auto& wanted) { return entry.first < wanted; });
  return at != links_.end() && at->first == key ? at->second : Link{};
}

std::optional<double> history_value(const Device& device, size_t field) {
  static_assert(kHistoryFields.size() == 13);
  const auto number = [](const std::optional<int64_t>& value) -> std::optional<double> {
    return value ? std::optional(static_cast<double>(*value)) : std::nullopt;
  };
  switch (field) {
    case 0:
      return device.utilization;
    case 1:
      return device.memory_utilization;
    case 2:
      return number(device.memory_used);
    case 3:
      return device.temperature;
    case 4:
      return device.power_draw;
    case 5:
      return device.energy;
    case 6:
      return device.fan_speed;
    case 7:
      return device.clock_sm;
    case 8:
      return device.clock_memory;
    case 9:
      return device.pcie.tx;
    case 10:
      return device.pcie.rx;
    case 11:
      return device.nvlink.tx;
    case 12:
      return device.nvlink.rx;
    default:
      return std::nullopt;
  }
}

}  // namespace saemill
