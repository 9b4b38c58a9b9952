#include "choose_devices.h"

#include <algorithm>

#include "common/base/error.h"
#include "control/launch/worker_client.h"
#include "control/select/selection.h"
#include "machine.h"

namespace saemill {
namespace {

bool is_gpu(const Device& device) {
  return device.kind != DeviceKind::cpu;
}

// Why the worker cannot use the machine's GPUs; empty: it can.
std::string problem_of_worker(const std::string& worker) {
  SignalRequests signals;
  return gpu_problem(find_worker(worker), signals);
}

ChosenDevices choose_automatically(int count, const std::string& worker,
                                   const std::function<int64_t(int64_t)>& memory_on_gpu) {
  Machine machine({});
  const auto snapshot = machine.look();
  if (std::none_of(snapshot->devices.begin(), snapshot->devices.end(), is_gpu)) return {cpu_slots(count), ""};
  if (const std::string problem = problem_of_worker(worker); !problem.empty())
    return {cpu_slots(count), "this machine's GPUs are left alone: " + problem};
  const Recommendation found =
      recommend(*snapshot, {.memory = memory_on_gpu(count), .count = count, .kind = "gpu", .exclude = {}});
  if (!found.choices.empty()) {
    ChosenDevices chosen;
    for (const int index : found.choices[0].gpu_ids) {
      const Device& device = snapshot->devices[static_cast<size_t>(index)];
      chosen.devices.push_back({short_name(snapshot->devices, device), device.uuid});
    }
    return chosen;
  }
  if (count == 1) return {cpu_slots(1), "no GPU is free (" + found.help + "): training on a CPU slot"};
  fail(ErrorCode::usage, "--devices auto:{}: {}", count, found.help);
}

// Foreign processes are the person's own business: only what cannot work is refused.
void refuse_unusable(const Snapshot& snapshot, const std::vector<std::string>& names,
                     const std::string& leased_to) {
  for (const Problem& problem : validate(snapshot, names, 0).errors) {
    const Device* device = find_device(snapshot.devices, problem.gpu);
    if (device != nullptr && device->availability == Availability::foreign) continue;
    const bool own =
        device != nullptr && device->availability == Availability::leased && device->current_job == leased_to;
    if (own) continue;
    fail(ErrorCode::usage, "--devices: {}; {}", problem.message, problem.fix);
  }
}

}  // namespace

ChosenDevices choose_devices(const std::string& text, const std::string& leased_to, const std::string& worker,
                             const std::function<int64_t(int64_t)>& memory_on_gpu) {
  const DeviceNames asked = parse_devices(text);
  if (asked.automatic > 0) return choose_automatically(asked.automatic, worker, memory_on_gpu);
  const auto is_slot = [](const std::string& name) { return name.starts_with("cpu:"); };
  if (std::all_of(asked.names.begin(), asked.names.end(), is_slot)) {
    ChosenDevices chosen;
    for (const std::string& name : asked.names) chosen.devices.push_back({name, ""});
    return chosen;
  }
  Machine machine({});
  const auto snapshot = machine.look();
  ChosenDevices chosen;
  size_t gpus = 0;
  for (const std::string& name : asked.names) {
    const Device* device = find_device(snapshot->devices, name);
    if (device == nullptr)
      fail(ErrorCode::usage, "--devices: there is no device {}; `saemill gpus` lists them", name);
    gpus += is_gpu(*device);
    chosen.devices.push_back({short_name(snapshot->devices, *device), is_gpu(*device) ? device->uuid : ""});
  }
  if (gpus == 0) return chosen;
  if (gpus < chosen.devices.size())
    fail(ErrorCode::usage, "--devices {}: a training runs on GPUs or on CPU slots, not on both", text);
  refuse_unusable(*snapshot, asked.names, leased_to);
  if (const std::string problem = problem_of_worker(worker); !problem.empty())
    fail(ErrorCode::bad_config, "--devices {}: {}", text, problem);
  return chosen;
}

}  // namespace saemill
