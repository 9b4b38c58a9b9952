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

// Where there is no driver there is no GPU; everything else but an answer leaves that open.
bool is_silent(const DriverState& driver) {
  using State = nvml::SessionStatus::State;
  return driver.state != nvml::to_string(State::answering) && driver.state != nvml::to_string(State::absent);
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
  const auto& devices = snapshot->devices;
  if (is_silent(snapshot->driver))
    fail(
        ErrorCode::retry,
        "which GPUs are free is not known: the NVIDIA driver is {} (see `saemill doctor`); `--devices cpu:0` "
        "trains on the CPU",
        words_of(snapshot->driver));
  if (std::none_of(devices.begin(), devices.end(), is_gpu)) return {cpu_slots(count), ""};
  if (std::none_of(devices.begin(), devices.end(), counts_as_gpu))
    return {cpu_slots(count), fmt::format("CUDA_VISIBLE_DEVICES leaves no GPU: training on {}",
                                          count == 1 ? "a CPU slot" : "CPU slots")};
  if (const std::string problem = problem_of_worker(worker); !problem.empty())
    return {cpu_slots(count), "this machine's GPUs are left alone: " + problem};
  const Recommendation found =
      recommend(*snapshot, {.memory = memory_on_gpu(count), .count = count, .kind = "gpu", .exclude = {}});
  if (!found.choices.empty()) {
    ChosenDevices chosen;
    for (const int index : found.choices[0].gpu_ids) {
      const Device& device = snapshot->devices[static_cast<size_t>(index)];
      chosen.devices.push_back(
          {short_name(snapshot->devices, device), device.uuid, device.pci_bus_id.value_or("")});
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
  Machine machine({.every_device = !leased_to.empty()});
  const auto snapshot = machine.look();
  ChosenDevices chosen;
  size_t gpus = 0;
  for (const std::string& name : asked.names) {
    const Device* device = find_device(snapshot->devices, name);
    if (device == nullptr && is_silent(snapshot->driver))
      fail(ErrorCode::retry, "--devices: whether there is a device {} is not known: the NVIDIA driver is {}",
           name, words_of(snapshot->driver));
    if (device == nullptr)
      fail(ErrorCode::usage, "--devices: there is no device {}; `saemill gpus` lists them", name);
    gpus += is_gpu(*device);
    chosen.devices.push_back({short_name(snapshot->devices, *device), is_gpu(*device) ? device->uuid : "",
                              device->pci_bus_id.value_or("")});
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
