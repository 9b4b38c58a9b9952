// What one rank computes on, and how it exchanges rows with the others.
#pragma once

#include <functional>
#include <memory>

#include "common/plan/plan.h"
#include "engine/backend/backend.h"
#include "engine/comm/exchange.h"

namespace saemill {

struct RankDevice {
  DeviceMemory memory = DeviceMemory::cpu;
  std::unique_ptr<Backend> backend;
  std::unique_ptr<Exchange> exchange;  // ends before the backend, whose stream it uses
};

// `dtype` is train.dtype; `comm` null: alone, without an exchange.
using MakeDevice =
    std::function<RankDevice(int64_t d_in, int64_t d_sae, const std::string& dtype, Communicator* comm)>;

MakeDevice cpu_device(int threads);

}  // namespace saemill
