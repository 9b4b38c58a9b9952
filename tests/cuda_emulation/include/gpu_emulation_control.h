// What tests tell the emulation, and how a host twin of a device-wide library call takes part in a stream.
//
// Environment, read once: SAEMILL_EMULATION_ORDER=forward|reverse|shuffled:SEED, SAEMILL_EMULATION_DEVICES=N.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "engine/gpu/runtime.h"

namespace saemill::gpu::emulation {

// Who comes first: threads in a block, blocks in a grid, ready work of several streams. Memory that nothing
// wrote reads as NaN, with other bits in forward than in the others.
enum class Order { forward, reverse, shuffled };

struct Mode {
  Order order = Order::forward;
  uint64_t seed = 0;  // of shuffled
};

Mode mode();
void set_mode(const Mode& mode);

// Devices alike an H100, all with this much memory. Not while memory of them is allocated.
void set_devices(int count, size_t memory_bytes = size_t{80} << 30);

// Host work in the stream's order, as a kernel would be, also inside a graph's recording (it may run more
// than once). It may read and write device memory, and must not call functions of runtime.h.
void enqueue(const Stream& stream, const std::string& name, std::function<void()> work);
// For a stand-in of a C library, which is given Stream::native().
void enqueue_native(void* stream, const std::string& name, std::function<void()> work);

}  // namespace saemill::gpu::emulation
