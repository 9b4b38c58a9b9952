#include "control/monitor/event_detector.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <utility>

#include "control/monitor/health.h"

namespace saemill {
namespace {

using Kind = DeviceChange::Kind;
using State = nvml::SessionStatus::State;

bool is_slot(const Device& device) {
  return device.kind == DeviceKind::cpu;
}

std::string label_of(const Snapshot& snapshot, const Device& device) {
  return fmt::format("{} ({})", short_name(snapshot.devices, device), device.name);
}

// What matters to people, and how much; info: nothing is wrong.
Severity severity_of(Availability availability) {
  switch (availability) {
    case Availability::lost:
    case Availability::unhealthy:
      return Severity::error;
    case Availability::unknown:
      return Severity::warning;
    default:
      return Severity::info;
  }
}

Severity severity_of(XidClass kind) {
  return kind == XidClass::application ? Severity::info
         : kind == XidClass::notice    ? Severity::warning
                                       : Severity::error;
}

// A power cap is how a GPU is meant to run at full load, and sync boost is the user's wish.
std::vector<std::string> harmful(const std::vector<std::string>& throttle) {
  constexpr std::array kHarmful = {"hw_slowdown", "sw_thermal", "hw_thermal", "power_brake"};
  std::vector<std::string> found;
  for (const std::string& reason : throttle) {
    if (std::find(kHarmful.begin(), kHarmful.end(), reason) != kHarmful.end()) found.push_back(reason);
  }
  return found;
}

// Whether `snapshot` can tell which devices are there. Before the driver has answered, or gave up, it cannot;
// neither can it tell whether there will be CPU slots in the place of GPUs. What it shows then are devices
// that only a lease knows.
bool tells_presence(const Snapshot& snapshot, bool slots) {
  const auto is_shown = [&](const Device& device) {
    return is_slot(device) == slots && !(device.lost && device.lost->code == "not_shown");
  };
  if (std::any_of(snapshot.devices.begin(), snapshot.devices.end(), is_shown)) return true;
  const std::string& state = snapshot.driver.state;
  return state != nvml::to_string(State::starting) && state != nvml::to_string(State::hanging);
}

}  // namespace

struct EventDetector::Round {
  const Snapshot& snapshot;
  const std::string& host;
  Happened happened;

  MachineEvent& tell(Severity severity, std::string code, bool over, std::string message) {
    return happened.events.emplace_back(MachineEvent{.time = snapshot.epoch,
                                                     .severity = severity,
                                                     .code = std::move(code),
                                                     .over = over,
                                                     .host = host,
                                                     .device_uuid = {},
                                                     .training_id = {},
                                                     .message = std::move(message)});
  }
  void tell(const Device& device, Severity severity, std::string code, bool over, std::string message) {
    MachineEvent& event = tell(severity, std::move(code), over, std::move(message));
    event.device_uuid = device.uuid;
    if (device.current_job_type == "training") event.training_id = device.current_job;
  }
  void change(Kind kind, const std::string& uuid, nlohmann::ordered_json data) {
    happened.changes.push_back({kind, uuid, std::move(data)});
  }
  const Device* find(const std::string& uuid) const {
    const auto at = std::find_if(snapshot.devices.begin(), snapshot.devices.end(),
                                 [&](const Device& device) { return device.uuid == uuid; });
    return at != snapshot.devices.end() ? &*at : nullptr;
  }
};

EventDetector::EventDetector(std::string host, EventThresholds thresholds)
    : host_(std::move(host)), thresholds_(thresholds) {}

EventDetector::Seen* EventDetector::find(const std::string& uuid) {
  const auto at =
      std::find_if(seen_.begin(), seen_.end(), [&](const Seen& seen) { return seen.uuid == uuid; });
  return at != seen_.end() ? &*at : nullptr;
}

Happened EventDetector::next(const Snapshot& snapshot) {
  Round round{snapshot, host_, {}};
  compare_presence(round, false);
  compare_presence(round, true);
  tell_xids(round);  // before the states that they lead to
  for (const Device& device : snapshot.devices) look_at_device(round, device);
  look_at_machine(round);
  look_at_disk(round);
  return std::move(round.happened);
}

void EventDetector::compare_presence(Round& round, bool slots) {
  if (!tells_presence(round.snapshot, slots)) return;
  bool& known = slots ? slots_known_ : gpus_known_;
  const bool first = !std::exchange(known, true);
  const auto& devices = round.snapshot.devices;
  const auto before =
      std::count_if(seen_.begin(), seen_.end(), [&](const Seen& seen) { return seen.slot == slots; });
  const auto now = std::count_if(devices.begin(), devices.end(),
                                 [&](const Device& device) { return is_slot(device) == slots; });
  const bool stored = !slots || before != now;  // slots get other uuids when the machine is renamed
  for (const Seen& seen : seen_) {
    if (seen.slot != slots || round.find(seen.uuid) != nullptr) continue;
    round.change(Kind::removed, seen.uuid, {{"uuid", seen.uuid}, {"index", seen.index}});
    if (!stored) continue;
    const bool planned = slots || seen.uuid.starts_with("MIG-");
    round
        .tell(planned ? Severity::info : Severity::warning, "gpu_removed", false,
              fmt::format("{} is no longer there", seen.label))
        .device_uuid = seen.uuid;
  }
  std::erase_if(seen_,
                [&](const Seen& seen) { return seen.slot == slots && round.find(seen.uuid) == nullptr; });
  for (const Device& device : devices) {
    if (is_slot(device) != slots || find(device.uuid) != nullptr) continue;
    Seen seen;
    seen.uuid = device.uuid;
    seen.label = label_of(round.snapshot, device);
    seen.slot = slots;
    seen_.push_back(std::move(seen));
    if (first) continue;
    round.change(Kind::added, device.uuid, to_json(device));
    if (stored)
      round.tell(device, Severity::info, "gpu_added", false, fmt::format("{} was added", seen_.back().label));
  }
}

void EventDetector::tell_xids(Round& round) {
  // A kernel that fails in every thread block brings the same XID many times.
  std::vector<std::pair<const nvml::GpuEvent*, int>> xids;
  for (const nvml::GpuEvent& event : round.snapshot.events) {
    if (event.xid == 0) continue;
    const auto same = std::find_if(xids.begin(), xids.end(), [&](const auto& other) {
      return other.first->uuid == event.uuid && other.first->xid == event.xid;
    });
    if (same != xids.end()) {
      ++same->second;
    } else {
      xids.emplace_back(&event, 1);
    }
  }
  for (const auto& [event, count] : xids) {
    const XidClass kind = xid_class(event->xid);
    const bool application = kind == XidClass::application;
    const std::string words = application ? "a fault of the program that ran on it" : xid_words(event->xid);
    const Device* device = round.find(event->uuid);
    nlohmann::ordered_json data{{"uuid", event->uuid}};
    if (device != nullptr) data["index"] = device->index;
    data["xid"] = event->xid;
    data["application"] = application;
    round.change(Kind::xid, event->uuid, std::move(data));
    Device unseen;
    unseen.uuid = event->uuid;
    const Seen* seen = find(event->uuid);
    round.tell(
        device != nullptr ? *device : unseen, severity_of(kind), "xid", false,
        fmt::format("{}: XID {}{}{}", seen != nullptr ? seen->label : event->uuid, event->xid,
                    count > 1 ? fmt::format(", {} times", count) : "", words.empty() ? "" : ", " + words));
  }
}

void EventDetector::look_at_device(Round& round, const Device& device) {
  Seen* seen = find(device.uuid);
  if (seen == nullptr) return;
  seen->index = device.index;
  // A device that the driver shows no more has another place and no name.
  if (!device.lost) seen->label = label_of(round.snapshot, device);
  compare_state(round, device, *seen);
  if (device.age_ms <= thresholds_.stale_after * 1e3) look_at_heat(round, device, *seen);
}

void EventDetector::compare_state(Round& round, const Device& device, Seen& seen) {
  const bool is_new = !seen.availability;
  const Availability before = seen.availability.value_or(Availability::free);
  seen.availability = device.availability;
  if (before == device.availability) return;
  if (!is_new) round.change(Kind::state, device.uuid, to_json(device));
  const Severity severity = severity_of(device.availability);
  if (severity == Severity::info && severity_of(before) == Severity::info) return;
  const bool over = severity == Severity::info;
  const char* now = to_string(device.availability);
  round.tell(device, severity, "gpu_state", over,
             over ? fmt::format("{} is {}, no longer {}", seen.label, now, to_string(before))
                  : fmt::format("{} is {}: {}", seen.label, now, device.reason.message));
}

void EventDetector::look_at_heat(Round& round, const Device& device, Seen& seen) {
  const EventThresholds& limits = thresholds_;
  const auto hot =
      seen.hot.update(device.temperature, {limits.hot, limits.hot_off, limits.critical, limits.critical_off});
  const double degrees = device.temperature.value_or(0);
  if (hot == LevelCondition::Change::on)
    round.tell(
        device, Severity::warning, "hot", false,
        fmt::format("{} is at {:g} \u00b0C; hot from {:g} \u00b0C on", seen.label, degrees, limits.hot));
  if (hot == LevelCondition::Change::worse)
    round.tell(device, Severity::error, "hot", false,
               fmt::format("{} is at {:g} \u00b0C; critical from {:g} \u00b0C on", seen.label, degrees,
                           limits.critical));
  if (hot == LevelCondition::Change::off)
    round.tell(device, Severity::info, "hot", true,
               fmt::format("{} has cooled to {:g} \u00b0C, below {:g} \u00b0C", seen.label, degrees,
                           limits.hot_off));

  std::vector<std::string> reasons;
  if (device.throttle) reasons = harmful(*device.throttle);
  const auto throttled =
      seen.throttled.update(device.throttle ? std::optional(!reasons.empty()) : std::nullopt,
                            round.snapshot.epoch, limits.throttled_for, limits.throttled_off);
  if (throttled == LastingCondition::Change::on)
    round.tell(device, Severity::warning, "throttled", false,
               fmt::format("{} has been throttled for {:.0f} s (limit {:g} s): {}", seen.label,
                           seen.throttled.lasted(), limits.throttled_for, fmt::join(reasons, ", ")));
  if (throttled == LastingCondition::Change::off)
    round.tell(device, Severity::info, "throttled", true,
               fmt::format("{} has not been throttled for {:.0f} s (limit {:g} s)", seen.label,
                           seen.throttled.lasted(), limits.throttled_off));
}

void EventDetector::look_at_machine(Round& round) {
  const Snapshot& snapshot = round.snapshot;
  const double limit = thresholds_.stale_after;
  double age = 0;
  for (const Device& device : snapshot.devices) {
    if (!is_slot(device)) age = std::max(age, device.age_ms / 1e3);
  }
  const bool hangs = snapshot.driver.state == nvml::to_string(State::hanging);
  const auto stale = stale_.update(hangs || age > limit, snapshot.epoch, 0, 0);
  if (stale == LastingCondition::Change::on)
    round.tell(Severity::warning, "stale", false,
               fmt::format("{}; the readings of the GPUs are {:.1f} s old (limit {:g} s)",
                           hangs ? "the driver hangs: " + snapshot.driver.message
                                 : std::string("the driver is slow or does not answer"),
                           age, limit));
  if (stale == LastingCondition::Change::off)
    round.tell(
        Severity::info, "stale", true,
        fmt::format("the driver answers again; the readings of the GPUs are {:.1f} s old (limit {:g} s)", age,
                    limit));

  const auto away = store_away_.update(!snapshot.store_problem.empty(), snapshot.epoch, limit, 0);
  if (away == LastingCondition::Change::on)
    round.tell(Severity::warning, "store_away", false,
               fmt::format("the store has not answered for {:.0f} s (limit {:g} s): {}", store_away_.lasted(),
                           limit, snapshot.store_problem));
  if (away == LastingCondition::Change::off)
    round.tell(Severity::info, "store_away", true, "the store answers again");
}

void EventDetector::look_at_disk(Round& round) {
  const HostSample& host = round.snapshot.host;
  if (!host.disk_free || !host.disk_total || *host.disk_total <= 0) return;
  const double share = static_cast<double>(*host.disk_free) / static_cast<double>(*host.disk_total);
  // Little is bad: the negative share is what rises.
  const auto change = low_disk_.update(-share, {-thresholds_.low_disk, -thresholds_.low_disk_off,
                                                -thresholds_.disk_critical, -thresholds_.disk_critical_off});
  const auto tell = [&](Severity severity, bool over, const char* limit_name, double limit) {
    round.tell(
        severity, "low_disk", over,
        fmt::format("{} has {:.1f} GB of {:.1f} GB free, {:.1f} % ({} {:g} %)", host.disk_path,
                    static_cast<double>(*host.disk_free) / 1e9, static_cast<double>(*host.disk_total) / 1e9,
                    100 * share, limit_name, 100 * limit));
  };
  if (change == LevelCondition::Change::on) tell(Severity::warning, false, "low from", thresholds_.low_disk);
  if (change == LevelCondition::Change::worse)
    tell(Severity::error, false, "critical from", thresholds_.disk_critical);
  if (change == LevelCondition::Change::off)
    tell(Severity::info, true, "well above", thresholds_.low_disk_off);
}

}  // namespace saemill
