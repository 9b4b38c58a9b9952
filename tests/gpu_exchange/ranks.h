// Ranks as threads of the test, each with its streams, its exchange and, with NCCL, its GPU.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/base/error.h"
#include "engine/comm/exchange.h"
#include "engine/comm/local_gpu/local_gpu_exchange.h"
#include "engine/gpu/runtime.h"
#include "setup.h"

namespace saemill {

struct Rank {
  int rank;
  int size;
  Communicator& host;
  const gpu::Stream& compute;
  Exchange& exchange;
  LocalGpuGroup& group;  // of local_gpu
  // Lives until all ranks have ended: freeing memory waits for the device, and one that is stuck would keep
  // the emulation from letting the other ranks go on.
  std::vector<std::shared_ptr<void>>& kept;
};

struct Outcome {
  std::string message;  // "" for no error
  std::optional<ErrorCode> code;
  double seconds = 0;
};

struct Setting {
  Transport transport;
  std::string scenario = "{}";
  int64_t piece_bytes = 1 << 20;
  double deadline = 20;
  std::map<std::string, std::string> variables = {};
  std::map<int, std::string> libraries = {};  // of ranks that have another one
};

std::vector<Outcome> on_ranks(const Setting& setting, const std::function<void(Rank&)>& body);

void expect_no_errors(const std::vector<Outcome>& outcomes);
// The error has this code, its text these parts, and it came in time.
void expect_error(const Outcome& outcome, ErrorCode code, const std::vector<std::string>& parts,
                  double within = 5);

}  // namespace saemill
