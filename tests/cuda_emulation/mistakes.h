// Kernels with one planted mistake each.
#pragma once

#include "engine/gpu/runtime.h"

namespace saemill::gpu::mistakes {

void store_outside(float* out, int n, const Stream& stream);             // at out[n]
void store_outside_shared(float* out, const Stream& stream);             // at tile[64] of 64
void read_outside_dynamic(float* out, const Stream& stream);             // one float more than was given
void forget_barrier(const float* in, float* out, const Stream& stream);  // reverses 64 values
void forget_to_write(float* out, const Stream& stream);      // 64 values from shared memory that has none
void diverge(float* out, const Stream& stream);              // half of the threads are at a barrier
void meet_elsewhere(float* out, const Stream& stream);       // two halves at two barriers
void return_early(float* out, const Stream& stream);         // before a barrier
void shuffle_with_absent(float* out, const Stream& stream);  // lanes 0 to 15 name all
void shuffle_unnamed(float* out, const Stream& stream);      // the mask names others only
void read_misaligned(const float* in, float* out, const Stream& stream);   // 16 bytes at in + 1
void fill_shared(const Stream& stream);                                    // 60 KB of static memory
void take_shared(float* out, size_t dynamic_bytes, const Stream& stream);  // beside 16 KB of static memory
void add_in_any_order(const float* in, float* out, const Stream& stream);  // 64 values by atomicAdd

}  // namespace saemill::gpu::mistakes
