// Machines and queues for the tests of schedule().
#pragma once

#include <fmt/format.h>

#include "control/jobs/schedule.h"

namespace saemill {

inline constexpr int64_t kGigabyte = 1'000'000'000;

inline Device gpu(int index, const std::string& name = "NVIDIA H200") {
  Device device;
  device.index = index;
  device.uuid = fmt::format("GPU-{:08x}-0000", index);
  device.name = name;
  device.memory_total = 150 * kGigabyte;
  device.memory_free = 140 * kGigabyte;
  device.temperature = 40;
  device.availability = Availability::free;
  device.reason = {"free", "free"};
  return device;
}

inline void set_state(Device& device, Availability availability) {
  device.availability = availability;
  device.reason = {to_string(availability), to_string(availability)};
}

inline ScheduleInput machine(int gpus, double now = 1e9) {
  ScheduleInput input;
  for (int i = 0; i < gpus; ++i) input.snapshot.devices.push_back(gpu(i));
  input.snapshot.epoch = input.now = now;
  return input;
}

inline WaitingJob job(const std::string& id, int count = 1, std::optional<double> duration = std::nullopt) {
  WaitingJob waiting;
  waiting.id = id;
  waiting.count = count;
  waiting.duration = duration;
  return waiting;
}

// With the next arrival.
inline WaitingJob& add(ScheduleInput& input, WaitingJob waiting) {
  waiting.order = static_cast<int64_t>(input.waiting.size());
  return input.waiting.emplace_back(std::move(waiting));
}

}  // namespace saemill
