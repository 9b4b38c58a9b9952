// Memory for people, in the units of nvidia-smi and the web page: "17.2 GiB", below one GiB "512.0 MiB".
#pragma once

#include <cstdint>
#include <string>

namespace saemill {

std::string memory_text(int64_t bytes);

}  // namespace saemill
