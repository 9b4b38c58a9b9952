#include <algorithm>
#include <map>

#include "common/base/clock.h"
#include "common/base/error.h"
#include "common/base/text.h"
#include "control/select/device_sets.h"
#include "control/select/selection.h"
#include "control/select/topology_score.h"

namespace saemill {
namespace {

using Json = nlohmann::ordered_json;

constexpr double kHeatStep = 5;  // degrees; smaller differences say nothing

// Devices that may serve together.
using Group = std::vector<const Device*>;

std::string wanted_kind(const Snapshot& snapshot, const RecommendRequest& request) {
  if (request.kind != "any") return request.kind;
  return std::any_of(snapshot.devices.begin(), snapshot.devices.end(), counts_as_gpu) ? "gpu" : "cpu";
}

// Nothing: the device could serve.
std::optional<Reason> why_not(const Device& device, const RecommendRequest& request) {
  if (device.availability != Availability::free) return device.reason;
  if (std::find(request.exclude.begin(), request.exclude.end(), device.uuid) != request.exclude.end())
    return Reason{"excluded", "excluded by the request"};
  if (device.kind == DeviceKind::mig && request.count > 1)
    return Reason{"mig", "a MIG instance serves jobs of one device only"};
  if (request.memory == 0) return std::nullopt;
  const MemoryFit fit = memory_fit(device, request.memory);
  if (fit == MemoryFit::with_margin) return std::nullopt;
  if (fit == MemoryFit::unknown) return Reason{"memory", "it does not tell how much memory is free"};
  const int64_t needed = request.memory + memory_margin(device.kind, request.memory);
  return Reason{"memory", fmt::format("{} free; {} with the usual margin are needed",
                                      memory_text(*device.memory_free), memory_text(needed))};
}

std::vector<Group> make_groups(const Snapshot& snapshot, const RecommendRequest& request,
                               std::vector<Rejected>& rejected) {
  std::map<std::string, Group> by_model;
  const bool cpu = wanted_kind(snapshot, request) == "cpu";
  for (const Device& device : snapshot.devices) {
    if ((device.kind == DeviceKind::cpu) != cpu) continue;
    if (const auto reason = why_not(device, request)) {
      rejected.push_back({device.index, device.uuid, *reason});
    } else {
      by_model[request.mixed_models ? "" : device.name].push_back(&device);
    }
  }
  std::vector<Group> groups;
  for (auto& [model, group] : by_model) groups.push_back(std::move(group));
  return groups;
}

int64_t last_used(const Snapshot& snapshot, const Device& device) {
  const auto at = snapshot.last_used.find(device.uuid);
  return at != snapshot.last_used.end() ? at->second : 0;
}

LinkedDevices linked(const Snapshot& snapshot, const Group& group) {
  LinkedDevices linked;
  for (const Device* a : group) {
    auto& row = linked.links.emplace_back();
    for (const Device* b : group)
      row.push_back(a == b ? 0 : link_score(snapshot.topology.between(a->uuid, b->uuid)));
    linked.heat.push_back(static_cast<int>(a->temperature.value_or(0) / kHeatStep));
    linked.last_used.push_back(last_used(snapshot, *a));
  }
  return linked;
}

std::string unused_for(const Snapshot& snapshot, const std::vector<const Device*>& devices) {
  int64_t latest = 0;
  for (const Device* device : devices) latest = std::max(latest, last_used(snapshot, *device));
  if (latest == 0) return "never leased so far";
  const double minutes = std::max(0.0, snapshot.epoch - static_cast<double>(latest)) / 60;
  return minutes < 120 ? fmt::format("unused for {:.0f} min", minutes)
                       : fmt::format("unused for {:.0f} h", minutes / 60);
}

Choice describe(const Snapshot& snapshot, const Group& group, const Places& places,
                const RecommendRequest& request) {
  Choice choice;
  std::vector<const Device*> devices, rest;
  for (size_t i = 0; i < group.size(); ++i) {
    const bool taken = std::binary_search(places.begin(), places.end(), i);
    (taken ? devices : rest).push_back(group[i]);
  }
  std::optional<int64_t> least_free;
  std::optional<double> hottest;
  bool one_model = true;
  for (const Device* device : devices) {
    choice.gpu_ids.push_back(device->index);
    choice.device_uuids.push_back(device->uuid);
    if (device->memory_free)
      least_free = std::min(least_free.value_or(*device->memory_free), *device->memory_free);
    if (device->temperature) hottest = std::max(hottest.value_or(*device->temperature), *device->temperature);
    one_model = one_model && device->name == devices[0]->name;
  }
  auto& reasons = choice.reasons;
  if (least_free)
    reasons.push_back(request.memory > 0 ? fmt::format("{} free, {} needed", memory_text(*least_free),
                                                       memory_text(request.memory))
                                         : fmt::format("{} free", memory_text(*least_free)));
  reasons.push_back("healthy, and nobody else is on it");
  reasons.push_back(one_model ? devices[0]->name : "several models: the slowest sets the pace");
  const bool gpus = devices[0]->kind != DeviceKind::cpu;
  if (gpus && devices.size() > 1) reasons.push_back(describe_links(snapshot.topology, devices));
  if (gpus && rest.size() > 1)
    reasons.push_back(
        fmt::format("leaves {} free that are {}", rest.size(), describe_links(snapshot.topology, rest)));
  if (hottest) reasons.push_back(fmt::format("at most {:.0f} degrees C", *hottest));
  reasons.push_back(unused_for(snapshot, devices));
  return choice;
}

// What the person who asked could change.
std::string what_helps(const Recommendation& found, const RecommendRequest& request, const Snapshot& snapshot,
                       const std::vector<Group>& groups) {
  int busy = 0, small = 0;
  size_t together = 0, models = groups.size();
  for (const Group& group : groups) together += group.size();
  int64_t largest_free = 0;
  for (const Rejected& rejected : found.rejected) {
    if (rejected.reason.code == "memory") ++small;
    const Device& device = snapshot.devices[static_cast<size_t>(rejected.gpu)];
    if (rejected.reason.code == "memory")
      largest_free = std::max(largest_free, device.memory_free.value_or(0));
    if (device.availability == Availability::leased || device.availability == Availability::foreign) ++busy;
  }
  std::string help = fmt::format("{} of {} asked are suitable", found.suitable, found.asked);
  if (found.suitable > 0) help += fmt::format("; ask for {}", found.suitable);
  if (busy > 0) help += fmt::format("; wait for {} that {} busy", busy, busy == 1 ? "is" : "are");
  if (small > 0)
    help += fmt::format("; {} more would do with less memory each (the largest has {} free)", small,
                        memory_text(largest_free));
  if (models > 1 && !request.mixed_models)
    help += fmt::format("; accept mixed models: {} would do together", together);
  return help;
}

}  // namespace

Recommendation recommend(const Snapshot& snapshot, const RecommendRequest& request) {
  if (request.count < 1) fail(ErrorCode::usage, "count is {}; accepted: 1 or more", request.count);
  if (request.memory < 0) fail(ErrorCode::usage, "memory is {}; accepted: 0 or more bytes", request.memory);
  if (request.kind != "any" && request.kind != "gpu" && request.kind != "cpu")
    fail(ErrorCode::usage, "kind is \"{}\"; accepted: any, gpu, cpu", request.kind);
  Recommendation found;
  found.asked = request.count;
  const auto groups = make_groups(snapshot, request, found.rejected);
  const auto most = static_cast<size_t>(std::max(0, request.most_choices));
  std::vector<std::pair<RankedSet, const Group*>> ranked;
  for (const Group& group : groups) {
    found.suitable = std::max(found.suitable, static_cast<int>(group.size()));
    for (RankedSet& set : best_sets(linked(snapshot, group), static_cast<size_t>(request.count), most))
      ranked.emplace_back(std::move(set), &group);
  }
  std::stable_sort(ranked.begin(), ranked.end(),
                   [](const auto& a, const auto& b) { return a.first.key < b.first.key; });
  ranked.resize(std::min(ranked.size(), most));
  for (const auto& [set, group] : ranked)
    found.choices.push_back(describe(snapshot, *group, set.places(), request));
  if (found.choices.empty()) found.help = what_helps(found, request, snapshot, groups);
  return found;
}

nlohmann::ordered_json to_json(const Recommendation& found) {
  if (found.choices.empty()) {
    Json rejected = Json::array();
    for (const Rejected& one : found.rejected)
      rejected.push_back(
          {{"gpu", one.gpu}, {"uuid", one.uuid}, {"code", one.reason.code}, {"message", one.reason.message}});
    return {{"code", "insufficient_gpus"},
            {"asked", found.asked},
            {"suitable", found.suitable},
            {"rejected", rejected},
            {"detail", found.help}};
  }
  Json choices = Json::array();
  for (const Choice& choice : found.choices)
    choices.push_back(
        {{"gpu_ids", choice.gpu_ids}, {"device_uuids", choice.device_uuids}, {"reasons", choice.reasons}});
  return {{"choices", choices}};
}

}  // namespace saemill
