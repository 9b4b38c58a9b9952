#include <algorithm>

#include "common/base/clock.h"
#include "common/base/error.h"
#include "control/monitor/device.h"

namespace saemill {
namespace {

using Json = nlohmann::ordered_json;

template <typename T>
void get(const Json& json, const char* key, std::optional<T>& value) {
  if (const auto found = json.find(key); found != json.end()) value = found->get<T>();
}

const Json& part(const Json& json, const char* key) {
  static const Json kNone = Json::object();
  const auto found = json.find(key);
  return found != json.end() ? *found : kNone;
}

template <typename Enum>
Enum named(const std::string& word, int count) {
  for (int i = 0; i < count; ++i)
    if (word == to_string(static_cast<Enum>(i))) return static_cast<Enum>(i);
  fail(ErrorCode::retry, "\"{}\" is not known to this saemill; the server's is newer", word);
}

Reason reason_of(const Json& json) {
  return {json.at("code").get<std::string>(), json.at("message").get<std::string>()};
}

void get_metrics(const Json& json, Device& device) {
  get(json, "memory_total", device.memory_total);
  get(json, "memory_used", device.memory_used);
  get(json, "memory_free", device.memory_free);
  get(json, "memory_reserved", device.memory_reserved);
  get(json, "utilization", device.utilization);
  get(json, "memory_utilization", device.memory_utilization);
  get(json, "temperature", device.temperature);
  get(json, "power_draw", device.power_draw);
  get(json, "power_limit", device.power_limit);
  get(json, "energy", device.energy);
  get(json, "fan_speed", device.fan_speed);
  get(part(json, "clocks"), "sm", device.clock_sm);
  get(part(json, "clocks"), "memory", device.clock_memory);
  get(json, "throttle", device.throttle);
  get(part(json, "pcie"), "tx", device.pcie.tx);
  get(part(json, "pcie"), "rx", device.pcie.rx);
  get(part(json, "nvlink"), "tx", device.nvlink.tx);
  get(part(json, "nvlink"), "rx", device.nvlink.rx);
  get(json, "last_xid", device.last_xid);
  get(json, "compute_mode", device.compute_mode);
  get(json, "persistence_mode", device.persistence_mode);
  const Json& ecc = part(json, "ecc");
  get(ecc, "corrected", device.ecc.corrected);
  get(ecc, "uncorrected", device.ecc.uncorrected);
  get(ecc, "remapped_corrected", device.ecc.remapped_corrected);
  get(ecc, "remapped_uncorrected", device.ecc.remapped_uncorrected);
  get(ecc, "remap_pending", device.ecc.remap_pending);
  get(ecc, "remap_failure", device.ecc.remap_failure);
}

DeviceProcess process_of(const Json& json) {
  DeviceProcess process;
  process.pid = json.at("pid").get<int64_t>();
  process.type = json.at("type").get<std::string>();
  get(json, "user", process.user);
  get(json, "command", process.command);
  get(json, "memory_used", process.memory_used);
  get(json, "training_id", process.training_id);
  return process;
}

Device device_of(const Json& json) {
  Device device;
  device.index = json.at("index").get<int>();
  device.uuid = json.at("uuid").get<std::string>();
  device.kind = named<DeviceKind>(json.at("kind").get<std::string>(), 3);
  device.name = json.at("name").get<std::string>();
  get(json, "pci_bus_id", device.pci_bus_id);
  get(json, "parent_uuid", device.parent_uuid);
  get_metrics(json, device);
  for (const Json& reason : json.at("health").at("reasons"))
    device.health.reasons.push_back(reason_of(reason));
  if (json.contains("processes")) {
    device.processes.emplace();
    for (const Json& process : json["processes"]) device.processes->push_back(process_of(process));
  }
  device.availability = named<Availability>(json.at("availability").get<std::string>(), kAvailabilities);
  device.reason = reason_of(json.at("reason"));
  device.current_job = json.value("current_job", std::string());
  device.current_job_type = json.value("current_job_type", std::string());
  device.sampled_at = parse_utc_time(json.at("sampled_at").get<std::string>()).value_or(0);
  device.age_ms = json.at("age_ms").get<double>();
  device.mig_parent = device.reason.code == "mig_parent";
  return device;
}

}  // namespace

Device device_from_json(const Json& json) {
  try {
    return device_of(json);
  } catch (const Json::exception& error) {
    fail(ErrorCode::retry, "the server describes a device in a way that this saemill does not know: {}",
         error.what());
  }
}

}  // namespace saemill
