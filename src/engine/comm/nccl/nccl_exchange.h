// The exchange between GPUs, one rank each, by NVIDIA's NCCL.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "engine/comm/communicator.h"
#include "engine/comm/exchange.h"
#include "engine/gpu/runtime.h"

namespace saemill {

struct NcclOptions {
  Communicator& host;                       // of the same ranks; used while the exchange is made
  const gpu::Stream& compute;               // outlives the exchange
  int64_t piece_bytes = int64_t{32} << 20;  // at least; each piece is one group of NCCL
  double deadline_seconds = 60;
  // NCCL_* from the configuration, put into the environment before the library is loaded. It is loaded once
  // per process, so a second exchange cannot change them.
  std::map<std::string, std::string> variables = {};
  std::string library = "libnccl.so.2";
};

// Collective, on the calling thread's device. Error{bad_config} on every rank where one has no usable NCCL or
// the versions differ.
std::unique_ptr<Exchange> make_nccl_exchange(const NcclOptions& options);

}  // namespace saemill
