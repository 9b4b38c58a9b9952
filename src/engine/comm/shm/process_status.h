// What the kernel says of another process.
#pragma once

#include <cstdint>

namespace saemill {

// The state letter is 0 when there is no such process and '?' when that could not be found out.
struct ProcessStatus {
  char state = '?';
  uint64_t start_time = 0;  // clock ticks after boot; 0 when not known
};

// From /proc/PID/stat. Never kill(pid, 0): a zombie answers that.
ProcessStatus process_status(int pid);

// Whether the process that started at that time has ended, reaped or not. False when in doubt.
bool is_gone(const ProcessStatus& status, uint64_t start_time);

}  // namespace saemill
