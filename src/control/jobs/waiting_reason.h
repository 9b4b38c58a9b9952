// Why a training waits, and what would free its devices, in words.
#pragma once

#include <optional>

#include "control/jobs/schedule_machine.h"

namespace saemill {

// It is asked for what nothing could give, held, or waits for another training. Absent: it is in the queue.
std::optional<Wait> not_in_queue(const WaitingJob& job);

// It may find GPUs once the driver tells of them, and cannot be placed before. Absent: it can.
std::optional<Wait> driver_silent(const Snapshot& snapshot, const WaitingJob& job);

// No devices of this machine, as it is, could ever serve it.
Wait cannot_run(const Machine& machine, const Demand& demand);

// Too few are free.
Wait devices_busy(const Machine& machine, const Demand& demand, const Demand::Outlook& outlook);

// Enough are free, but the head needs them.
Wait behind(const Demand& demand, const std::string& head);

}  // namespace saemill
