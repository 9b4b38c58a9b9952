// Runs work several times: in the emulation with the threads in other orders, on a GPU in its own.
#pragma once

#include <functional>

#include "cuda_emulation/sample/fixture.h"
#ifdef SAEMILL_EMULATED
#include "gpu_emulation_control.h"
#endif

namespace saemill::gpu {

inline void in_all_orders(const std::function<void()>& work) {
#ifdef SAEMILL_EMULATED
  const emulation::Mode before = emulation::mode();
  for (const emulation::Mode mode : {emulation::Mode{emulation::Order::forward, 0},
                                     {emulation::Order::reverse, 0},
                                     {emulation::Order::shuffled, 1},
                                     {emulation::Order::shuffled, 2}}) {
    SCOPED_TRACE(testing::Message() << "order " << static_cast<int>(mode.order) << ", seed " << mode.seed);
    emulation::set_mode(mode);
    work();
  }
  emulation::set_mode(before);
#else
  for (int time = 0; time < 2; ++time) work();
#endif
}

}  // namespace saemill::gpu
