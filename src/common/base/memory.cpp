#include "common/base/memory.h"

#include <fstream>
#include <limits>
#include <string>

namespace saemill {

int64_t available_memory() {
  std::ifstream file("/proc/meminfo");
  std::string name, unit;
  for (int64_t kilobytes = 0; file >> name >> kilobytes; std::getline(file, unit))
    if (name == "MemAvailable:") return kilobytes * 1024;
  return std::numeric_limits<int64_t>::max();
}

}  // namespace saemill
