#include "control/monitor/inventory.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "common/base/proc.h"
#include "common/base/text.h"
#include "control/monitor/visible_devices.h"

namespace saemill {
namespace {

using Json = nlohmann::ordered_json;

// Where processes cannot be listed, this much says that somebody is there.
constexpr int64_t kHiddenUseBytes = int64_t{256} << 20;
constexpr double kHiddenUsePercent = 10;

std::string known_memory(std::optional<int64_t> bytes) {
  return bytes ? memory_text(*bytes) : "unknown memory";
}

std::string describe(const DeviceProcess& process) {
  std::string command = process.command.value_or("hidden process");
  if (command.size() > 60) command = command.substr(0, 57) + "...";
  return fmt::format("pid {} of {} ({}, {})", process.pid, process.user.value_or("somebody"), command,
                     known_memory(process.memory_used));
}

bool belongs_to(const DeviceProcess& process, const Lease& lease, bool pids_hidden) {
  if (pids_hidden && !process.user) return true;  // cannot be told apart; the lease says who should be here
  const int64_t holder = lease.holder.pid;
  if (holder == 0 || has_ended(holder, lease.holder.start_time)) return false;
  return descends_from(process.pid, holder);
}

// The processes that make a device busy and are not the job's.
std::vector<const DeviceProcess*> strangers(Device& device, const Lease* lease, bool pids_hidden) {
  std::vector<const DeviceProcess*> found;
  if (!device.processes) return found;
  for (DeviceProcess& process : *device.processes) {
    if (lease != nullptr && belongs_to(process, *lease, pids_hidden)) {
      process.training_id = lease->holder.job_id;
    } else if (process.type != "graphics") {
      found.push_back(&process);
    }
  }
  return found;
}

bool used_by_somebody_hidden(const Device& device, bool pids_hidden) {
  if (device.kind == DeviceKind::cpu) return false;
  if (device.processes && !pids_hidden) return false;
  return device.memory_used.value_or(0) > kHiddenUseBytes ||
         device.utilization.value_or(0) > kHiddenUsePercent;
}

std::string lease_message(const Lease& lease, const std::vector<const DeviceProcess*>& others) {
  std::string text = fmt::format("leased to {} {}", lease.holder.job_type, lease.holder.job_id);
  if (!others.empty()) text += "; a stranger is on it too: " + describe(*others.front());
  return text;
}

}  // namespace

bool gpus_unknown(const DriverState& driver) {
  using State = nvml::SessionStatus::State;
  const auto is = [&](State state) { return driver.state == nvml::to_string(state); };
  return !driver.told && (is(State::starting) || is(State::hanging) || is(State::failing));
}

std::string words_of(const DriverState& driver) {
  return driver.message.empty() ? driver.state : driver.state + ": " + driver.message;
}

void decide_availability(Device& device, const Lease* lease, const InventoryInput& input) {
  const auto others = strangers(device, lease, input.pids_hidden);
  const auto set = [&](Availability availability, std::string code, std::string message) {
    device.availability = availability;
    device.reason = {std::move(code), std::move(message)};
  };
  if (lease != nullptr) {
    device.current_job = lease->holder.job_id;
    device.current_job_type = lease->holder.job_type;
  }
  if (device.lost) return set(Availability::lost, device.lost->code, device.lost->message);
  if (!device.health.ok())
    return set(Availability::unhealthy, device.health.reasons[0].code, device.health.reasons[0].message);
  if (lease != nullptr)
    return set(Availability::leased, others.empty() ? "leased" : "leased_with_stranger",
               lease_message(*lease, others));
  if (!device.left_out.empty())
    return set(Availability::prohibited, "not_visible", "it is not among " + device.left_out);
  if (device.mig_parent)
    return set(Availability::prohibited, "mig_parent",
               "divided into MIG instances; those are leased instead");
  if (device.compute_mode == "prohibited")
    return set(Availability::prohibited, "compute_mode",
               "its compute mode is \"prohibited\" (nvidia-smi -c DEFAULT)");
  if (device.unreadable)
    return set(Availability::unknown, device.unreadable->code, device.unreadable->message);
  if (device.age_ms > input.stale_after * 1e3)
    return set(
        Availability::unknown, "stale",
        fmt::format(
            "last read {:.0f} s ago{}", device.age_ms / 1e3,
            device.kind == DeviceKind::cpu || input.gpus.message.empty() ? "" : ": " + input.gpus.message));
  if (!others.empty()) {
    std::string message = "used by " + describe(*others.front());
    if (others.size() > 1) message += fmt::format(" and {} more", others.size() - 1);
    return set(Availability::foreign, "process", std::move(message));
  }
  if (used_by_somebody_hidden(device, input.pids_hidden))
    return set(Availability::foreign, "hidden_process",
               fmt::format("in use ({}), by a process that cannot be seen from here",
                           known_memory(device.memory_used)));
  set(Availability::free, "free", "free");
}

std::vector<Device> build_inventory(const InventoryInput& input) {
  std::vector<Device> devices;
  if (input.gpus.reading) devices = input.gpus.reading->devices;
  const auto visible = visible_devices(devices, input.visible);
  for (size_t i = 0; i < devices.size(); ++i)
    if (!visible[i]) devices[i].left_out = "CUDA_VISIBLE_DEVICES=" + input.visible;
  const double age_ms = std::max(0.0, input.now - input.gpus.read_at) * 1e3;
  for (Device& device : devices) device.age_ms = age_ms;
  devices.insert(devices.end(), input.cpu_slots.begin(), input.cpu_slots.end());
  const auto lease_of = [&](const std::string& uuid) -> const Lease* {
    const auto at = std::find_if(input.leases.begin(), input.leases.end(), [&](const Lease& lease) {
      return lease.uuid == uuid && lease.holder.host == input.host;
    });
    return at != input.leases.end() ? &*at : nullptr;
  };
  for (const Lease& lease : input.leases) {
    const auto known = [&](const Device& device) { return device.uuid == lease.uuid; };
    if (lease.holder.host != input.host || lease.uuid.starts_with("CPU-") ||
        std::any_of(devices.begin(), devices.end(), known))
      continue;
    Device gone;
    gone.uuid = lease.uuid;
    gone.kind = lease.uuid.starts_with("MIG-") ? DeviceKind::mig : DeviceKind::gpu;
    gone.name = "GPU";
    gone.lost = Reason{"not_shown", "the driver does not show this device any more"};
    gone.sampled_at = input.epoch;
    devices.push_back(std::move(gone));
  }
  for (size_t i = 0; i < devices.size(); ++i) {
    devices[i].index = static_cast<int>(i);
    decide_availability(devices[i], lease_of(devices[i].uuid), input);
  }
  return devices;
}

nlohmann::ordered_json aggregate(const std::vector<Device>& devices) {
  std::optional<double> used, total, utilization_sum, utilization_max, temperature, power;
  int measured = 0;
  std::array<int, kAvailabilities> counts{};
  const auto add = [](std::optional<double>& sum, auto value) {
    if (value) sum = sum.value_or(0) + static_cast<double>(*value);
  };
  const auto largest = [](std::optional<double>& best, const std::optional<double>& value) {
    if (value) best = std::max(best.value_or(*value), *value);
  };
  for (const Device& device : devices) {
    ++counts[static_cast<size_t>(device.availability)];
    add(power, device.power_draw);
    largest(temperature, device.temperature);
    if (device.mig_parent) continue;  // its memory is that of its instances
    add(used, device.memory_used);
    add(total, device.memory_total);
    add(utilization_sum, device.utilization);
    measured += device.utilization ? 1 : 0;
    largest(utilization_max, device.utilization);
  }
  Json json{{"gpu_count", devices.size()}};
  if (used) json["total_memory_used"] = static_cast<int64_t>(*used);
  if (total) json["total_memory_total"] = static_cast<int64_t>(*total);
  if (utilization_sum) json["average_utilization"] = *utilization_sum / measured;
  if (utilization_max) json["max_utilization"] = *utilization_max;
  if (temperature) json["max_temperature"] = *temperature;
  if (power) json["total_power_draw"] = *power;
  for (int i = 0; i < kAvailabilities; ++i)
    json["counts"][to_string(static_cast<Availability>(i))] = counts[static_cast<size_t>(i)];
  return json;
}

nlohmann::ordered_json devices_json(const std::vector<Device>& devices) {
  Json list = Json::array();
  for (const Device& device : devices) list.push_back(to_json(device));
  return {{"gpu_count", devices.size()}, {"gpus", std::move(list)}};
}

}  // namespace saemill
