// The one exception type of saemill. Its code is the exit code that the programs end with, so the kind of a
// failure is decided where it is found and nowhere else.
#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <utility>

namespace saemill {

enum class ErrorCode : int {
  usage = 64,       // the command line is wrong
  bad_data = 65,    // activations, a checkpoint or another input file is damaged or does not fit
  internal = 70,    // our bug
  retry = 75,       // worth a restart: a peer or device is lost, a disk is full
  bad_config = 78,  // a configuration value or key is refused
  cancelled = 130,  // somebody asked for it
};

class Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  ErrorCode code() const { return code_; }
  int exit_code() const { return static_cast<int>(code_); }

 private:
  ErrorCode code_;
};

// Throws Error; the message names the file, key or device, the value found, and what is accepted.
template <typename... Args>
[[noreturn]] void fail(ErrorCode code, fmt::format_string<Args...> format, Args&&... args) {
  throw Error(code, fmt::format(format, std::forward<Args>(args)...));
}

// For our own invariants only, never for input.
inline void ensure(bool condition, const char* what) {
  if (!condition) throw Error(ErrorCode::internal, std::string("internal error: ") + what);
}

}  // namespace saemill
