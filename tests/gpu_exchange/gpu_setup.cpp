#include <dlfcn.h>

#include <algorithm>

#include "engine/gpu/runtime.h"
#include "setup.h"

namespace saemill {

std::vector<Transport> transports() {
  const int gpus = static_cast<int>(std::min<size_t>(8, gpu::devices().size()));
  return {{false, 2}, {false, 4}, {true, std::max(1, gpus)}};
}

std::string why_not(const Transport& transport) {
  if (const std::string reason = gpu::unavailable(); !reason.empty()) return reason;
  if (transport.nccl && !::dlopen(nccl_library().c_str(), RTLD_NOW | RTLD_LOCAL))
    return nccl_library() + " cannot be loaded";
  return "";
}

std::string nccl_library() {
  return "libnccl.so.2";
}

std::vector<std::string> schedules() {
  return {"the device's"};
}

void use_schedule(const std::string&) {}
void prepare(const Transport&, const std::string&, const std::string&) {}

}  // namespace saemill
