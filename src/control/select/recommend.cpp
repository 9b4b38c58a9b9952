#include <algorithm>
#include <map>
#include <numeric>
#include <tuple>

#include "common/base/clock.h"
#include "common/base/error.h"
#include "control/select/selection.h"
#include "control/select/topology_score.h"

namespace saemill {
namespace {

using Json = nlohmann::ordered_json;
using Places = std::vector<size_t>;  // of devices within a group, ascending

constexpr double kMostSubsets = 20000;  // C(16, 8) is 12870; beyond, sets are grown from each device
constexpr double kHeatStep = 5;         // degrees; smaller differences say nothing

std::string gigabytes(int64_t bytes) {
  return fmt::format("{:.1f} GB", static_cast<double>(bytes) / 1e9);
}

// Devices that may serve together.
struct Group {
  std::vector<const Device*> devices;
  std::vector<std::vector<int>> links;  // link_score of each pair
};

struct Ranked {
  Places places;
  // Smaller is better: -links, -links of what stays free, heat, last use, places.
  std::tuple<int, int, int, int64_t, Places> key;
};

std::string wanted_kind(const Snapshot& snapshot, const RecommendRequest& request) {
  if (request.kind != "any") return request.kind;
  const auto is_gpu = [](const Device& device) { return device.kind != DeviceKind::cpu; };
  return std::any_of(snapshot.devices.begin(), snapshot.devices.end(), is_gpu) ? "gpu" : "cpu";
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
                                      gigabytes(*device.memory_free), gigabytes(needed))};
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
      by_model[request.mixed_models ? "" : device.name].devices.push_back(&device);
    }
  }
  std::vector<Group> groups;
  for (auto& [model, group] : by_model) {
    for (const Device* a : group.devices) {
      auto& row = group.links.emplace_back();
      for (const Device* b : group.devices)
        row.push_back(a == b ? 0 : link_score(snapshot.topology.between(a->uuid, b->uuid)));
    }
    groups.push_back(std::move(group));
  }
  return groups;
}

int sum_links(const Group& group, const Places& places) {
  int sum = 0;
  for (size_t a = 0; a < places.size(); ++a) {
    for (size_t b = a + 1; b < places.size(); ++b) sum += group.links[places[a]][places[b]];
  }
  return sum;
}

Places others(const Group& group, const Places& places) {
  Places all(group.devices.size()), rest;
  std::iota(all.begin(), all.end(), size_t{0});
  std::set_difference(all.begin(), all.end(), places.begin(), places.end(), std::back_inserter(rest));
  return rest;
}

int64_t last_used(const Snapshot& snapshot, const Device& device) {
  const auto at = snapshot.last_used.find(device.uuid);
  return at != snapshot.last_used.end() ? at->second : 0;
}

Ranked rank(const Snapshot& snapshot, const Group& group, Places places) {
  int heat = 0;
  int64_t used = 0;
  for (const size_t place : places) {
    const Device& device = *group.devices[place];
    heat = std::max(heat, static_cast<int>(device.temperature.value_or(0) / kHeatStep));
    used = std::max(used, last_used(snapshot, device));
  }
  const int links = sum_links(group, places), rest = sum_links(group, others(group, places));
  return {places, {-links, -rest, heat, used, places}};
}

double subsets(size_t n, size_t k) {
  double count = 1;
  for (size_t i = 0; i < k; ++i) count = count * static_cast<double>(n - i) / static_cast<double>(i + 1);
  return count;
}

void all_subsets(size_t n, size_t k, std::vector<Places>& sets) {
  Places places(k);
  std::iota(places.begin(), places.end(), size_t{0});
  while (true) {
    sets.push_back(places);
    size_t i = k;
    while (i > 0 && places[i - 1] == n - k + i - 1) --i;
    if (i == 0) return;
    ++places[i - 1];
    for (size_t j = i; j < k; ++j) places[j] = places[j - 1] + 1;
  }
}

// From each device, the one added next is the best linked with those already there, the longest unused of
// equals.
void grown_subsets(const Snapshot& snapshot, const Group& group, size_t k, std::vector<Places>& sets) {
  for (size_t seed = 0; seed < group.devices.size(); ++seed) {
    Places places{seed};
    while (places.size() < k) {
      const auto worth = [&](size_t place) {
        int sum = 0;
        for (const size_t chosen : places) sum += group.links[chosen][place];
        return std::tuple(-sum, last_used(snapshot, *group.devices[place]), place);
      };
      const Places rest = others(group, places);
      const size_t next = *std::min_element(rest.begin(), rest.end(),
                                            [&](size_t a, size_t b) { return worth(a) < worth(b); });
      places.insert(std::upper_bound(places.begin(), places.end(), next), next);
    }
    sets.push_back(std::move(places));
  }
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
  for (const size_t place : places) devices.push_back(group.devices[place]);
  for (const size_t place : others(group, places)) rest.push_back(group.devices[place]);
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
    reasons.push_back(request.memory > 0 ? fmt::format("{} free, {} needed", gigabytes(*least_free),
                                                       gigabytes(request.memory))
                                         : fmt::format("{} free", gigabytes(*least_free)));
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
  for (const Group& group : groups) together += group.devices.size();
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
                        gigabytes(largest_free));
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
  const auto k = static_cast<size_t>(request.count);
  std::vector<std::pair<Ranked, const Group*>> ranked;
  for (const Group& group : groups) {
    const size_t n = group.devices.size();
    found.suitable = std::max(found.suitable, static_cast<int>(n));
    if (n < k) continue;
    std::vector<Places> sets;
    if (subsets(n, k) <= kMostSubsets) {
      all_subsets(n, k, sets);
    } else {
      grown_subsets(snapshot, group, k, sets);
    }
    for (Places& places : sets) ranked.emplace_back(rank(snapshot, group, std::move(places)), &group);
  }
  std::sort(ranked.begin(), ranked.end(),
            [](const auto& a, const auto& b) { return a.first.key < b.first.key; });
  for (const auto& [entry, group] : ranked) {
    if (found.choices.size() >= static_cast<size_t>(request.most_choices)) break;
    Choice choice = describe(snapshot, *group, entry.places, request);
    const auto same = [&](const Choice& other) {
      return other.gpu_ids == choice.gpu_ids;
    };  // two seeds, one set
    if (std::none_of(found.choices.begin(), found.choices.end(), same))
      found.choices.push_back(std::move(choice));
  }
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
