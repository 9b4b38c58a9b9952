// Memory of this machine.
#pragma once

#include <cstdint>

namespace saemill {

// Bytes that can be taken without swapping, as the kernel estimates it; the largest number when unknown.
int64_t available_memory();

}  // namespace saemill
