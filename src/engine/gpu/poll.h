// Waiting with a deadline. Internal to the implementations of runtime.h.
#pragma once

#include <chrono>
#include <thread>

#include "common/base/error.h"

namespace saemill::gpu {

// Short waits are the common ones, so it spins first.
template <typename Done>
void poll(const Done& done, double seconds, const char* what) {
  using Clock = std::chrono::steady_clock;
  const auto start = Clock::now();
  while (!done()) {
    const double waited = std::chrono::duration<double>(Clock::now() - start).count();
    if (waited >= seconds) fail(ErrorCode::retry, "{} was not done by the device within {} s", what, seconds);
    if (waited > 1e-3) {
      std::this_thread::sleep_for(std::chrono::microseconds(50));
    } else {
      std::this_thread::yield();
    }
  }
}

}  // namespace saemill::gpu
