#include "engine/comm/nccl/nccl_library.h"

#include <dlfcn.h>

#include <cerrno>
#include <cstdlib>
#include <mutex>
#include <string_view>
#include <system_error>

#include "common/base/error.h"

namespace saemill::nccl {
namespace {

constexpr const char* kHowToGet =
    "NCCL 2.18 or later is in NVIDIA's packages libnccl2 and nvidia-nccl-cu13; its folder may be given in "
    "LD_LIBRARY_PATH";

void* resolve(void* file, const std::string& path, const char* symbol) {
  void* address = ::dlsym(file, symbol);
  if (!address)
    fail(ErrorCode::bad_config, "{} is not usable: it has no function {}. {}", path, symbol, kHowToGet);
  return address;
}

}  // namespace

std::shared_ptr<const Library> Library::open(const std::string& file) {
  void* handle = ::dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!handle) {
    const char* why = ::dlerror();
    fail(ErrorCode::bad_config, "several GPUs need NCCL, and {} cannot be loaded ({}). {}", file,
         why ? why : "no reason given", kHowToGet);
  }
  // The version comes first: an old library is better told from its version than from what it lacks.
  const auto get_version = reinterpret_cast<int (*)(int*)>(resolve(handle, file, "ncclGetVersion"));
  const std::shared_ptr<Library> library(new Library);
  if (const int result = get_version(&library->version_); result != kSuccess)
    fail(ErrorCode::bad_config, "{} does not tell its version (NCCL result {})", file, result);
  if (library->version_ < kLeastVersion)
    fail(ErrorCode::bad_config, "{} is NCCL {}, which is too old. {}", file, version_text(library->version_),
         kHowToGet);
#define SAEMILL_NCCL_RESOLVE(member, symbol, type) \
  library->member = reinterpret_cast<std::add_pointer_t<type>>(resolve(handle, file, #symbol));
  SAEMILL_NCCL_SYMBOLS(SAEMILL_NCCL_RESOLVE)
#undef SAEMILL_NCCL_RESOLVE
  return library;
}

std::string Library::describe(int result, Comm comm) const {
  const char* words = error_string(result);
  const char* detail = last_error(comm);
  std::string text = fmt::format("NCCL result {} ({})", result, words ? words : "unknown");
  if (detail && *detail != '\0') text += fmt::format(": {}", detail);
  return text;
}

// Since 2.9 the minor version has two digits more room.
std::string version_text(int version) {
  const int major = version >= 10000 ? version / 10000 : version / 1000;
  const int rest = version >= 10000 ? version % 10000 : version % 1000;
  return fmt::format("{}.{}.{}", major, rest / 100, rest % 100);
}

void set_variables(const std::map<std::string, std::string>& variables) {
  static std::mutex mutex;  // in tests ranks are threads of one process
  const std::lock_guard lock(mutex);
  for (const auto& [name, value] : variables) {
    if (!name.starts_with("NCCL_") || name.find('=') != std::string::npos)
      fail(ErrorCode::bad_config, "'{}' is not a variable of NCCL: its name begins with NCCL_", name);
    const char* now = std::getenv(name.c_str());
    if (now && value == now) continue;
    if (::setenv(name.c_str(), value.c_str(), 1) != 0)
      fail(ErrorCode::retry, "{} cannot be set: {}", name, std::generic_category().message(errno));
  }
  const char* blocking = std::getenv("NCCL_COMM_BLOCKING");
  if (blocking && std::string_view(blocking) == "1")
    fail(ErrorCode::bad_config, "NCCL_COMM_BLOCKING is 1: unset it, or calls of NCCL may wait for ever");
}

}  // namespace saemill::nccl
