// Numbers for people.
#pragma once

#include <cstdint>
#include <string>

namespace saemill {

// In the units of nvidia-smi and the web page: "17.2 GiB", below one GiB "512.0 MiB".
std::string memory_text(int64_t bytes);

std::string duration_text(double seconds);  // "7s", "3m05s", "2h40m", "3d04h"

}  // namespace saemill
