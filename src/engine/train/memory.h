// What this process holds: /proc/self/status.
#pragma once

#include <cstdint>

namespace saemill {

struct ProcessMemory {
  int64_t anonymous = 0;  // RssAnon, bytes
  int64_t shared = 0;     // RssShmem, bytes; pages of segments that several ranks map count in each
};

ProcessMemory process_memory();

}  // namespace saemill
