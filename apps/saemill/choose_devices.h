// From what a person names to what ranks run on.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "control/launch/devices.h"

namespace saemill {

struct ChosenDevices {
  std::vector<JobDevice> devices;
  std::string note;  // for the person; empty: nothing to say
};

// Devices of one kind. "auto" is the best free GPU, else one CPU slot; "auto:N" N free GPUs, or N CPU slots
// on a machine without a usable GPU. Of GPUs only those that CUDA_VISIBLE_DEVICES names. Error{usage}: a
// device that is not there, cannot be used, or is leased to a job; GPUs and CPU slots together; too few free
// GPUs. Error{retry}: the driver does not tell which GPUs there are; then nothing is trained on the CPU
// unasked. `leased_to`: the training of a server that holds them, and for which they are free; the server has
// heeded the variable. `memory_on_gpu`: bytes that each of so many GPUs must have free; asked only where GPUs
// are chosen.
ChosenDevices choose_devices(const std::string& text, const std::string& leased_to, const std::string& worker,
                             const std::function<int64_t(int64_t count)>& memory_on_gpu);

}  // namespace saemill
