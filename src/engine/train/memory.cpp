#include "engine/train/memory.h"

#include <fstream>
#include <sstream>
#include <string>

namespace saemill {

ProcessMemory process_memory() {
  ProcessMemory memory;
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    std::istringstream fields(line);
    std::string key;
    int64_t kilobytes = 0;
    if (!(fields >> key >> kilobytes)) continue;
    if (key == "RssAnon:") memory.anonymous = kilobytes * 1024;
    if (key == "RssShmem:") memory.shared = kilobytes * 1024;
  }
  return memory;
}

}  // namespace saemill
