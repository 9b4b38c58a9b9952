// Who comes first, by the mode.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "gpu_emulation_control.h"

namespace saemill::gpu::emulation {

// The numbers below `count` in the mode's order; `salt` varies shuffled orders of one seed.
std::vector<uint32_t> order_of(size_t count, uint64_t salt);
// Which of `count` things, from the oldest to the newest, comes next.
size_t choose(size_t count, uint64_t salt);
// Fills memory that nothing wrote.
void poison(void* memory, size_t bytes);

}  // namespace saemill::gpu::emulation
