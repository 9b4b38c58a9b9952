// What became of a launcher that is proven dead, as its run folder and its exit status tell.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "control/launch/process.h"

namespace saemill {

struct RunEnd {
  enum class Kind {
    finished,  // RUN/sae is whole
    stopped,   // it was asked to stop, by us or by somebody else
    lost,      // worth a restart: a device, a rank or the launcher is gone
    failed,    // it would fail again
  };
  Kind kind = Kind::lost;
  std::string message;  // for people
};

// `status` absent: it was no child of this process, or of another one.
RunEnd read_run_end(const std::filesystem::path& run, const std::optional<ExitStatus>& status);

// It says so itself, and has its SAE.
bool is_finished(const std::filesystem::path& run);

}  // namespace saemill
