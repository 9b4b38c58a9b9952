#include "control/jobs/schedule_machine.h"

#include <algorithm>
#include <map>
#include <set>

#include "common/base/clock.h"
#include "control/select/selection.h"

namespace saemill {
namespace {

std::optional<int64_t> whole_memory(const Device& device) {
  if (!device.memory_total) return std::nullopt;
  return *device.memory_total - device.memory_reserved.value_or(0);
}

std::string process_on(const Place& place) {
  if (place.device->processes) {
    for (const DeviceProcess& process : *place.device->processes) {
      if (process.type == "graphics") continue;
      return fmt::format("the process {} of {} on {}", process.pid, process.user.value_or("somebody"),
                         place.name);
    }
  }
  return fmt::format("what uses {}: {}", place.name, place.device->reason.message);
}

Use use_of(Availability availability) {
  switch (availability) {
    case Availability::free:
      return Use::free;
    case Availability::leased:  // to a job that is not among ours
      return Use::held;
    case Availability::foreign:
      return Use::foreign;
    default:
      return Use::barred;
  }
}

std::string ends_at(const Place& place, const std::string& training, double end, double now) {
  return end == kUnknownEnd
             ? fmt::format("{} when training {} ends, at an unknown time", place.name, training)
             : fmt::format("{} when training {} ends at about {}", place.name, training,
                           clock_time(end, now));
}

void describe(Place& place, double now) {
  const Device& device = *place.device;
  place.use = use_of(device.availability);
  place.memory = place.use == Use::free ? device.memory_free : whole_memory(device);
  if (place.use == Use::free) place.at = now;
  if (place.use == Use::held)
    place.frees = fmt::format("{} when its lease ends: {}", place.name, device.reason.message);
  if (place.use == Use::foreign) place.frees = process_on(place);
  if (place.use == Use::barred)
    place.frees = fmt::format("{} once it can be used again: {}", place.name, device.reason.message);
}

}  // namespace

std::string clock_time(double at, double now) {
  constexpr double kDay = 86400, kYear = 365 * kDay;
  if (!(at - now < 100 * kYear)) return "a time more than 100 years ahead";
  const std::string time = utc_time(at);
  return (at - now < kDay ? "" : time.substr(0, 10) + " ") + time.substr(11, 5) + " UTC";
}

Machine::Machine(const ScheduleInput& input) : now(input.now) {
  std::map<std::string, size_t> model_of;
  std::map<std::string, Place*> by_uuid;
  places.resize(input.snapshot.devices.size());
  size_t gpus = 0, cpus = 0;
  has_gpu = std::any_of(input.snapshot.devices.begin(), input.snapshot.devices.end(), counts_as_gpu);
  for (size_t i = 0; i < places.size(); ++i) {
    const Device& device = input.snapshot.devices[i];
    Place& place = places[i];
    place.device = &device;
    place.cpu = device.kind == DeviceKind::cpu;
    place.name = fmt::format("{}:{}", place.cpu ? "cpu" : "gpu", (place.cpu ? cpus : gpus)++);
    place.model = model_of.emplace(device.name, model_of.size()).first->second;
    describe(place, now);
    by_uuid[device.uuid] = &place;
  }
  models = model_of.size();
  std::set<const Place*> claimed;
  for (const RunningJob& job : input.running) {
    for (const std::string& uuid : job.devices) {
      const auto at = by_uuid.find(uuid);
      if (at == by_uuid.end()) continue;
      Place& place = *at->second;
      if (place.use == Use::barred) continue;  // it comes back to nobody when the training ends
      double end = job.ends_at && *job.ends_at >= now ? *job.ends_at : kUnknownEnd;
      if (!claimed.insert(&place).second) end = std::max(end, place.at);  // by two: the later end counts
      place.use = Use::held;
      place.at = end;
      place.memory = whole_memory(*place.device);
      place.frees = ends_at(place, job.id, end, now);
    }
  }
  sort();
}

void Machine::sort() {
  earliest.clear();
  for (size_t i = 0; i < places.size(); ++i) {
    if (places[i].use != Use::barred) earliest.push_back(i);
  }
  std::stable_sort(earliest.begin(), earliest.end(),
                   [&](size_t a, size_t b) { return places[a].at < places[b].at; });
}

void Machine::give(const std::vector<size_t>& taken, const std::string& training, double end) {
  for (const size_t i : taken) {
    Place& place = places[i];
    place.use = Use::held;
    place.at = end;
    place.memory = whole_memory(*place.device);
    place.frees = ends_at(place, training, end, now);
  }
  sort();
}

bool is_named(const std::vector<std::string>& uuids, const Place& place) {
  return std::find(uuids.begin(), uuids.end(), place.device->uuid) != uuids.end();
}

bool is_wanted_kind(const Machine& machine, const WaitingJob& job, const Place& place) {
  const bool cpu = job.kind == "cpu" || (job.kind == "any" && !machine.has_gpu);
  return place.cpu == cpu;
}

bool holds_memory(const Place& place, std::optional<int64_t> there, int64_t memory) {
  return memory == 0 || (there && *there >= memory + memory_margin(place.device->kind, memory));
}

Demand::Demand(const Machine& machine, const WaitingJob& waiting) : job(waiting) {
  named = !job.devices.empty();
  count = static_cast<size_t>(job.count);
  if (named) {
    count = job.devices.size();
    for (size_t i = 0; i < job.devices.size(); ++i)  // one named twice is one
      count -= std::find(job.devices.begin(), job.devices.begin() + static_cast<std::ptrdiff_t>(i),
                         job.devices[i]) != job.devices.begin() + static_cast<std::ptrdiff_t>(i);
  }
  together = named || job.mixed_models;
  groups = together ? 1 : machine.models;
  able.reserve(machine.earliest.size());
  for (const size_t i : machine.earliest) {
    const Place& place = machine.places[i];
    if (named ? !is_named(job.devices, place) : !is_wanted_kind(machine, job, place)) continue;
    if (place.device->kind == DeviceKind::mig && count > 1) continue;
    if (!holds_memory(place, place.memory, job.memory) || is_named(job.exclude, place)) continue;
    able.push_back(i);
  }
}

Demand::Outlook Demand::outlook(const Machine& machine) const {
  struct Found {
    size_t devices = 0, unknown = 0;
    double at = 0;
  };
  std::vector<Found> found(groups);
  Outlook best;
  for (const size_t i : able) {
    const Place& place = machine.places[i];
    Found& one = found[group(place)];
    if (one.devices == count) continue;
    ++one.devices;
    if (place.at == kUnknownEnd) {
      ++one.unknown;
    } else {
      one.at = place.at;  // ascending
    }
    if (one.devices < count) continue;
    const bool better =
        !best.possible || one.unknown < best.unknown || (one.unknown == best.unknown && one.at < best.at);
    if (better) best = {true, group(place), one.unknown, one.at};
  }
  return best;
}

}  // namespace saemill
