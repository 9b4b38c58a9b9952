#include <dlfcn.h>

#include "common/base/error.h"
#include "fake_nccl/emulated_device.h"
#include "gpu_emulation_control.h"
#include "setup.h"

namespace saemill {

using gpu::emulation::Order;

std::vector<Transport> transports() {
  std::vector<Transport> all;
  for (const bool nccl : {false, true})
    for (int ranks = 1; ranks <= 4; ++ranks) all.push_back({nccl, ranks});
  return all;
}

std::string why_not(const Transport&) {
  return "";
}

std::string nccl_library() {
  return FAKE_NCCL_LIBRARY;
}

std::vector<std::string> schedules() {
  return {"forward", "reverse", "1", "2", "3", "4", "5"};
}

void use_schedule(const std::string& schedule) {
  if (schedule == "forward") return gpu::emulation::set_mode({Order::forward});
  if (schedule == "reverse") return gpu::emulation::set_mode({Order::reverse});
  gpu::emulation::set_mode({Order::shuffled, std::stoull(schedule)});
}

void prepare(const Transport& transport, const std::string& scenario, const std::string& library) {
  gpu::emulation::set_devices(transport.nccl ? 4 : 1);
  if (!transport.nccl) return;
  void* file = ::dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
  void* begin = file ? ::dlsym(file, fake_nccl::kBegin) : nullptr;
  if (begin)  // the libraries that are refused have none
    reinterpret_cast<fake_nccl::Begin*>(begin)(&fake_nccl::emulated_device(), scenario.c_str());
}

}  // namespace saemill
