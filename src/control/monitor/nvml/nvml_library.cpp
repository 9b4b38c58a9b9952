#include "control/monitor/nvml/nvml_library.h"

#include <dlfcn.h>

#include <array>

#include <fmt/format.h>

namespace saemill::nvml {

std::shared_ptr<Library> Library::open(std::string& why) {
  // The name without a version exists only with development packages; the last is where WSL keeps it.
  constexpr std::array<const char*, 2> kPaths = {"libnvidia-ml.so.1", "/usr/lib/wsl/lib/libnvidia-ml.so.1"};
  why.clear();
  for (const char* path : kPaths) {
    if (void* file = ::dlopen(path, RTLD_NOW | RTLD_LOCAL))
      return std::shared_ptr<Library>(new Library(file, path));
    const char* error = ::dlerror();
    if (why.empty()) why = error != nullptr ? error : path;
  }
  return nullptr;
}

Library::Library(void* file, std::string path) : file_(file), path_(std::move(path)) {
  const auto resolve = [file]<typename Signature>(Symbol<Signature>& symbol) {
    symbol.function = reinterpret_cast<Signature*>(::dlsym(file, symbol.name));
  };
#define SAEMILL_NVML_RESOLVE(member, symbol, arguments) resolve(member);
  SAEMILL_NVML_SYMBOLS(SAEMILL_NVML_RESOLVE)
#undef SAEMILL_NVML_RESOLVE
}

Library::~Library() {
  ::dlclose(file_);
}

std::vector<CallCost> Library::costs() const {
  std::vector<CallCost> costs;
  const auto add = [&costs](const auto& symbol) {
    if (symbol.calls == 0) return;
    costs.push_back({symbol.name, symbol.calls, 1e3 * symbol.seconds / static_cast<double>(symbol.calls),
                     1e3 * symbol.slowest});
  };
#define SAEMILL_NVML_ADD(member, symbol, arguments) add(member);
  SAEMILL_NVML_SYMBOLS(SAEMILL_NVML_ADD)
#undef SAEMILL_NVML_ADD
  return costs;
}

std::vector<std::string> Library::missing() const {
  std::vector<std::string> names;
  const auto add = [&names](const auto& symbol) {
    if (symbol.function == nullptr) names.emplace_back(symbol.name);
  };
#define SAEMILL_NVML_ADD(member, symbol, arguments) add(member);
  SAEMILL_NVML_SYMBOLS(SAEMILL_NVML_ADD)
#undef SAEMILL_NVML_ADD
  return names;
}

std::string describe(int result) {
  struct Known {
    int code;
    const char* words;
  };
  constexpr std::array<Known, 12> kKnown{
      {{kUninitialized, "NVML is not initialized"},
       {kInvalidArgument, "invalid argument"},
       {kNotSupported, "not supported by this device"},
       {kNoPermission, "no permission"},
       {kNotFound, "not found"},
       {kDriverNotLoaded, "the NVIDIA driver is not loaded"},
       {kTimeout, "timeout"},
       {kFunctionNotFound, "this driver's library lacks the function"},
       {kGpuIsLost, "the GPU has fallen off the bus"},
       {kResetRequired, "the GPU needs a reset"},
       {kLibRmVersionMismatch, "library and kernel driver differ in version; reload the driver or reboot"},
       {kUnknown, "unknown error"}}};
  for (const Known& known : kKnown) {
    if (known.code == result) return fmt::format("{} (NVML {})", known.words, result);
  }
  return fmt::format("NVML error {}", result);
}

}  // namespace saemill::nvml
