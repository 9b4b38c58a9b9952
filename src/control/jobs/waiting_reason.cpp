#include "control/jobs/waiting_reason.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "common/base/text.h"

namespace saemill {
namespace {

std::string devices(size_t count) {
  return fmt::format("{} device{}", count, count == 1 ? "" : "s");
}

Wait wait(const WaitingJob& job, std::string code, std::string message) {
  return {job.id, {std::move(code), std::move(message)}, std::nullopt, {}};
}

std::string code_of(const Place& place) {
  return to_string(place.device->availability);  // unhealthy lost prohibited unknown
}

// The first of the named devices that it cannot have.
Wait named_cannot(const Machine& machine, const Demand& demand) {
  const WaitingJob& job = demand.job;
  for (const std::string& uuid : job.devices) {
    const auto at = std::find_if(machine.places.begin(), machine.places.end(),
                                 [&](const Place& place) { return place.device->uuid == uuid; });
    if (at == machine.places.end())
      return wait(job, "device_missing", fmt::format("it names {}, which this machine does not show", uuid));
    const Place& place = *at;
    if (is_named(job.exclude, place))
      return wait(job, "excluded", fmt::format("it both names and excludes {}", place.name));
    if (place.use == Use::barred) {
      Wait barred =
          wait(job, code_of(place), fmt::format("it names {}, which is {}", place.name, code_of(place)));
      barred.frees.push_back(place.frees);
      return barred;
    }
    if (place.device->kind == DeviceKind::mig && demand.count > 1)
      return wait(job, "too_few_devices",
                  fmt::format("{} is a MIG instance, which serves trainings of one device only", place.name));
    if (!holds_memory(place, place.memory, job.memory))
      return wait(
          job, "too_little_memory",
          fmt::format("it names {}, which has {}; {} with the usual margin are needed", place.name,
                      place.memory ? memory_text(*place.memory) + (place.use == Use::free ? " free" : "")
                                   : "an unknown amount of memory",
                      memory_text(job.memory)));
  }
  return wait(job, "device_missing", "its devices cannot be had together");
}

// Of the places that pass, as many as one group has of them.
template <typename Passes>
size_t most_together(const Machine& machine, const Demand& demand, const Passes& passes) {
  std::vector<size_t> counts(std::max<size_t>(demand.groups, 1));
  for (const Place& place : machine.places) {
    const bool alone = place.device->kind == DeviceKind::mig && demand.count > 1;
    if (is_wanted_kind(machine, demand.job, place) && !alone && passes(place)) ++counts[demand.group(place)];
  }
  return *std::max_element(counts.begin(), counts.end());
}

Wait too_few(const Machine& machine, const Demand& demand, size_t there) {
  const auto any = [](const Place&) { return true; };
  Demand mixed = demand;
  mixed.together = true, mixed.groups = 1;
  const bool mixing_helps = !demand.together && most_together(machine, mixed, any) >= demand.count;
  return wait(demand.job, "too_few_devices",
              fmt::format("needs {} together; this machine has {}{}", devices(demand.count), there,
                          mixing_helps ? " of one model (mixed models would do)" : ""));
}

std::string joined(const std::vector<std::string>& ids) {
  constexpr size_t kMost = 5;
  const std::vector<std::string> first(
      ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(std::min(kMost, ids.size())));
  return fmt::format("{}", fmt::join(first, ", ")) +
         (ids.size() > kMost ? fmt::format(" and {} more", ids.size() - kMost) : "");
}

}  // namespace

std::optional<Wait> not_in_queue(const WaitingJob& job) {
  if (job.held) return wait(job, "held", "held until somebody releases it");
  if (!job.failed_dependency.empty())
    return wait(
        job, "after_failed",
        fmt::format("it was to start after training {}, which did not complete", job.failed_dependency));
  if (!job.waiting_for.empty()) {
    Wait after = wait(job, "after", "starts after training " + joined(job.waiting_for));
    for (const std::string& id : job.waiting_for)
      after.frees.push_back(fmt::format("training {} when it is completed", id));
    return after;
  }
  if (job.devices.empty() && job.count < 1)
    return wait(job, "invalid", fmt::format("its device count is {}; accepted: 1 or more", job.count));
  if (job.memory < 0) return wait(job, "invalid", fmt::format("its memory is {} bytes", job.memory));
  if (job.kind != "any" && job.kind != "gpu" && job.kind != "cpu")
    return wait(job, "invalid", fmt::format("its kind is \"{}\"; accepted: any, gpu, cpu", job.kind));
  return std::nullopt;
}

std::optional<Wait> driver_silent(const Snapshot& snapshot, const WaitingJob& job) {
  if (!gpus_unknown(snapshot.driver)) return std::nullopt;
  const auto is_slot = [](const Device& device) { return device.kind == DeviceKind::cpu; };
  const auto named_slot = [](const std::string& uuid) { return uuid.starts_with("CPU-"); };
  const bool slots = std::any_of(snapshot.devices.begin(), snapshot.devices.end(), is_slot);
  const bool refuses = snapshot.driver.state == nvml::to_string(nvml::SessionStatus::State::failing);
  if (slots && (refuses || job.kind == "cpu")) return std::nullopt;
  if (!job.devices.empty() && std::all_of(job.devices.begin(), job.devices.end(), named_slot))
    return std::nullopt;
  Wait silent =
      wait(job, "driver",
           "which GPUs this machine has is not known: the NVIDIA driver is " + words_of(snapshot.driver));
  silent.frees.push_back("the driver when it answers (`saemill doctor`)");
  return silent;
}

Wait cannot_run(const Machine& machine, const Demand& demand) {
  if (demand.named) return named_cannot(machine, demand);
  const WaitingJob& job = demand.job;
  const auto together = [&](const auto& passes) { return most_together(machine, demand, passes); };
  const auto any = [](const Place&) { return true; };
  const auto allowed = [&](const Place& place) { return !is_named(job.exclude, place); };
  const auto large = [&](const Place& place) {
    const Device& device = *place.device;
    std::optional<int64_t> whole = device.memory_total;
    if (whole) *whole -= device.memory_reserved.value_or(0);
    return allowed(place) && holds_memory(place, whole, job.memory);
  };
  const size_t there = together(any);
  if (there < demand.count) return too_few(machine, demand, there);
  if (const size_t left = together(allowed); left < demand.count)
    return wait(job, "excluded",
                fmt::format("needs {}; {} are left beside those it excludes", devices(demand.count), left));
  const std::string needed = fmt::format("needs {} with {} each and the usual margin", devices(demand.count),
                                         memory_text(job.memory));
  if (const size_t left = together(large); left < demand.count)
    return wait(job, "too_little_memory", fmt::format("{}; {} of this machine have that", needed, left));
  for (const Place& place : machine.places) {
    if (place.use != Use::barred || !is_wanted_kind(machine, job, place) || !large(place)) continue;
    Wait barred = wait(job, code_of(place),
                       fmt::format("needs {}; {} is {}", devices(demand.count), place.name, code_of(place)));
    barred.frees.push_back(place.frees);
    return barred;
  }
  return wait(job, "too_little_memory", needed + "; something else takes memory of free devices");
}

Wait devices_busy(const Machine& machine, const Demand& demand, const Demand::Outlook& outlook) {
  constexpr size_t kMostFrees = 8;
  Wait busy{demand.job.id, {}, std::nullopt, {}};
  size_t seen = 0, free = 0, held = 0;
  for (const size_t i : demand.able) {
    const Place& place = machine.places[i];
    if (demand.group(place) != outlook.group) continue;
    if (seen++ == demand.count) break;
    if (place.use == Use::free) {
      ++free;
      continue;
    }
    held += place.use == Use::held;
    if (busy.frees.size() < kMostFrees) busy.frees.push_back(place.frees);
  }
  busy.reason.code = held > 0 ? "devices_busy" : "foreign_process";
  busy.reason.message = demand.named
                            ? fmt::format("{} of the {} that it names are free", free, devices(demand.count))
                            : fmt::format("{} of the {} that it needs are free", free, devices(demand.count));
  return busy;
}

Wait behind(const Demand& demand, const std::string& head) {
  return wait(demand.job, "behind",
              fmt::format("training {} is ahead and would start later if this one took its devices", head));
}

}  // namespace saemill
