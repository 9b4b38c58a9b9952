#include <algorithm>
#include <map>
#include <set>

#include "common/base/text.h"
#include "control/select/selection.h"

namespace saemill {
namespace {

using Json = nlohmann::ordered_json;

struct Chosen {
  std::string id;
  const Device* device;
};

void check_availability(const Chosen& chosen, Validation& found) {
  const Device& device = *chosen.device;
  const auto error = [&](const char* code, Json value, std::string fix) {
    found.errors.push_back({code, chosen.id, std::move(value), nullptr,
                            fmt::format("{} ({}): {}", chosen.id, device.name, device.reason.message),
                            std::move(fix)});
  };
  switch (device.availability) {
    case Availability::free:
      return;
    case Availability::leased:
      return error("busy", device.current_job,
                   fmt::format("wait for {} {}, or choose another device", device.current_job_type,
                               device.current_job));
    case Availability::foreign: {
      const bool known = device.processes && !device.processes->empty();
      const auto other = known ? std::find_if(device.processes->begin(), device.processes->end(),
                                              [](const auto& process) { return !process.training_id; })
                               : std::vector<DeviceProcess>::const_iterator{};
      return error("busy", known && other != device.processes->end() ? Json(other->pid) : Json(nullptr),
                   "ask its owner, or choose another device");
    }
    case Availability::unhealthy:
      return error("unhealthy", device.reason.code, "reset it (nvidia-smi --gpu-reset -i ...) or reboot");
    case Availability::lost:
      return error("lost", device.reason.code, "reboot, or rescan the PCI bus");
    case Availability::prohibited:
      return error("prohibited", device.reason.code,
                   !device.left_out.empty() ? "name one that is, or unset the variable"
                   : device.mig_parent      ? "name one of its MIG instances"
                                            : "nvidia-smi -c DEFAULT");
    case Availability::unknown:
      return error("unknown", device.reason.code, "see `saemill doctor`");
  }
}

void check_memory(const Chosen& chosen, int64_t memory, Validation& found) {
  const Device& device = *chosen.device;
  if (memory <= 0) return;
  const MemoryFit fit = memory_fit(device, memory);
  if (fit == MemoryFit::unknown) {
    found.warnings.push_back({"memory", chosen.id, nullptr, memory,
                              fmt::format("{} does not tell how much memory is free; {} are needed",
                                          chosen.id, memory_text(memory)),
                              "watch the first steps"});
    return;
  }
  if (fit == MemoryFit::with_margin) return;
  Problem problem{"memory",
                  chosen.id,
                  *device.memory_free,
                  memory,
                  fmt::format("{} has {} free; {} are needed", chosen.id, memory_text(*device.memory_free),
                              memory_text(memory)),
                  "a smaller train.micro_batch_size or sae.d_sae, more devices, or another device"};
  if (fit == MemoryFit::too_small) {
    found.errors.push_back(std::move(problem));
  } else {
    problem.limit = memory + memory_margin(device.kind, memory);
    problem.message += ", which leaves less than the usual margin";
    found.warnings.push_back(std::move(problem));
  }
}

void check_together(const std::vector<Chosen>& chosen, Validation& found) {
  std::set<std::string> models, kinds;
  for (const Chosen& one : chosen) {
    models.insert(one.device->name);
    kinds.insert(one.device->kind == DeviceKind::cpu ? "cpu" : "gpu");
    if (one.device->kind == DeviceKind::mig && chosen.size() > 1)
      found.errors.push_back(
          {"prohibited", one.id, chosen.size(), 1,
           fmt::format("{} is a MIG instance, which serves jobs of one device only", one.id),
           "choose it alone, or whole GPUs"});
  }
  if (kinds.size() > 1) {
    found.errors.push_back({"mixed_models", "", Json(kinds), nullptr,
                            "GPUs and CPU slots do not train together", "choose devices of one kind"});
  } else if (models.size() > 1 && kinds.contains("gpu")) {
    found.warnings.push_back({"mixed_models", "", Json(models), nullptr,
                              "the devices are of several models; the slowest sets the pace",
                              "choose devices of one model"});
  }
}

Json problems_json(const std::vector<Problem>& problems) {
  Json list = Json::array();
  for (const Problem& problem : problems) {
    list.push_back({{"code", problem.code},
                    {"gpu", problem.gpu},
                    {"value", problem.value},
                    {"limit", problem.limit},
                    {"message", problem.message},
                    {"fix", problem.fix}});
  }
  return list;
}

}  // namespace

int64_t memory_margin(DeviceKind kind, int64_t memory) {
  constexpr int64_t kDriver = int64_t{300} << 20;
  return kind == DeviceKind::cpu ? memory / 50 : std::max(memory / 50, kDriver);
}

MemoryFit memory_fit(const Device& device, int64_t memory) {
  if (!device.memory_free) return MemoryFit::unknown;
  if (*device.memory_free < memory) return MemoryFit::too_small;
  return *device.memory_free < memory + memory_margin(device.kind, memory) ? MemoryFit::without_margin
                                                                           : MemoryFit::with_margin;
}

Validation validate(const Snapshot& snapshot, const std::vector<std::string>& ids, int64_t memory) {
  Validation found;
  std::vector<Chosen> chosen;
  std::map<std::string, int> named;
  const std::string range =
      snapshot.devices.empty()
          ? "this machine shows no device"
          : fmt::format("indices 0 to {}, names and uuids of `saemill gpus`", snapshot.devices.size() - 1);
  for (const std::string& id : ids) {
    const Device* device = find_device(snapshot.devices, id);
    if (device == nullptr) {
      found.errors.push_back({"does_not_exist", id, id, nullptr, fmt::format("there is no device {}", id),
                              "accepted: " + range});
    } else if (++named[device->uuid] == 1) {
      chosen.push_back({id, device});
      found.gpu_ids.push_back(device->index), found.device_uuids.push_back(device->uuid);
    }
  }
  if (ids.empty())
    found.errors.push_back({"does_not_exist", "", 0, 1, "no device is named", "accepted: " + range});
  for (const Chosen& one : chosen) {
    if (const int times = named[one.device->uuid]; times > 1)
      found.errors.push_back({"named_twice", one.id, times, 1,
                              fmt::format("{} is named {} times; each device runs one rank", one.id, times),
                              "name it once"});
    check_availability(one, found);
    check_memory(one, memory, found);
  }
  check_together(chosen, found);
  return found;
}

nlohmann::ordered_json to_json(const Validation& validation) {
  return {{"valid", validation.valid()},
          {"errors", problems_json(validation.errors)},
          {"warnings", problems_json(validation.warnings)},
          {"gpu_ids", validation.gpu_ids},
          {"device_uuids", validation.device_uuids}};
}

}  // namespace saemill
