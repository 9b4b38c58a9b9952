#include "control/api/training_devices.h"

#include <algorithm>

#include "common/base/text.h"
#include "control/api/problem.h"
#include "control/select/device_estimate.h"
#include "control/select/selection.h"

namespace saemill::api {
namespace {

constexpr int64_t kMostDevices = 1024;

// The machine as it would be if nothing ran on it and all of it were well. What is prohibited stays so.
Snapshot at_rest(const Snapshot& snapshot) {
  Snapshot machine;
  machine.devices = snapshot.devices;
  for (Device& device : machine.devices) {
    if (device.availability != Availability::prohibited) device.availability = Availability::free;
    device.memory_free = device.memory_total;
    if (device.memory_total) *device.memory_free -= device.memory_reserved.value_or(0);
  }
  return machine;
}

// The place of a problem among the names; of a device that is named twice the later one.
std::string pointer_to(const Snapshot& snapshot, const std::vector<std::string>& names,
                       const saemill::Problem& problem) {
  const auto first = std::find(names.begin(), names.end(), problem.gpu);
  if (problem.gpu.empty() || first == names.end()) return "/gpu_ids";
  auto place = first;
  if (problem.code == "named_twice")
    place = std::find_if(first + 1, names.end(), [&](const std::string& name) {
      return find_device(snapshot.devices, name) == find_device(snapshot.devices, *first);
    });
  return fmt::format("/gpu_ids/{}", place - names.begin());
}

std::string message_of(const saemill::Problem& problem) {
  if (problem.code != "memory") return problem.message;
  return fmt::format("{} has {} of memory altogether; {} are needed", problem.gpu,
                     memory_text(problem.value.get<int64_t>()), memory_text(problem.limit.get<int64_t>()));
}

// A GPU that nobody has seen yet may be there all the same.
void refuse_unknown(const Snapshot& snapshot, const saemill::Problem& problem) {
  const bool slot = problem.gpu.starts_with("cpu:") || problem.gpu.starts_with("CPU-");
  if (problem.code != "does_not_exist" || slot || !gpus_unknown(snapshot.driver)) return;
  Problem unknown(503, "unavailable",
                  fmt::format("whether there is a {} is not known yet: the NVIDIA driver is {}", problem.gpu,
                              words_of(snapshot.driver)));
  unknown.headers.emplace_back("Retry-After", "2");
  throw unknown;
}

// The most devices of this machine that can train together. What is any: GPUs where there are some.
int64_t most_together(const Snapshot& snapshot) {
  const auto count = [&](const auto& wanted) {
    return std::count_if(snapshot.devices.begin(), snapshot.devices.end(), wanted);
  };
  const auto gpus = count([](const Device& one) { return one.kind == DeviceKind::gpu && !one.mig_parent; });
  const auto instances = count([](const Device& one) { return one.kind == DeviceKind::mig; });
  if (gpus > 0) return gpus;
  if (instances > 0) return 1;
  return count([](const Device& one) { return one.kind == DeviceKind::cpu; });
}

int64_t count_of(const Snapshot& snapshot, const Members& body) {
  const int64_t count = body.integer("device_count", 1, kMostDevices);
  const int64_t most = most_together(snapshot);
  if (most == 0 || count <= most) return count;  // devices may yet appear where there are none
  const std::string accepted = fmt::format("a whole number from 1 to {}", most);
  const std::string message = fmt::format(
      "device_count is {}, but this machine has {} that train together; accepted: {}", count, most, accepted);
  throw Problem(422, "invalid_request", message,
                {{"/device_count", "invalid_value", message, count, accepted}});
}

}  // namespace

AskedDevices asked_devices(const Snapshot& snapshot, const Members& body, AskedDevices otherwise) {
  constexpr size_t kLongestName = 200;
  body.not_both("gpu_ids", "device_count");
  if (body.has("device_count")) return {{}, {}, count_of(snapshot, body)};
  if (!body.has("gpu_ids")) return otherwise;
  AskedDevices asked;
  for (const std::string& id : body.ids("gpu_ids")) asked.names.push_back(id.substr(0, kLongestName));
  check_devices(snapshot, asked);
  return asked;
}

void check_devices(const Snapshot& snapshot, AskedDevices& devices, int64_t memory) {
  if (devices.names.empty()) return;
  const Validation found = validate(at_rest(snapshot), devices.names, memory);
  std::vector<FieldError> errors;
  for (const saemill::Problem& problem : found.errors) {
    refuse_unknown(snapshot, problem);
    errors.push_back({pointer_to(snapshot, devices.names, problem), problem.code, message_of(problem),
                      problem.value, problem.fix});
  }
  if (!errors.empty()) {
    const std::string detail = errors.front().message;
    throw Problem(422, "invalid_request", detail, std::move(errors));
  }
  devices.uuids = found.device_uuids;
  devices.count = static_cast<int64_t>(found.device_uuids.size());
}

std::vector<std::string> names_of(const Snapshot& snapshot, const AskedDevices& devices) {
  return devices.names.empty() ? first_names(snapshot, devices.count) : devices.names;
}

}  // namespace saemill::api
