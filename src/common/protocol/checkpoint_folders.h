// How checkpoints lie in RUN/checkpoints: who writes them, who chooses one and who deletes one agree here.
//
//   step-00001000       complete
//   step-00001000.old   complete too: stands aside while another checkpoint of the same step takes its place
//   *.tmp               being written or being deleted; never read
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/base/file.h"

namespace saemill {

std::string checkpoint_name(int64_t step);                        // "step-00001000"
std::optional<int64_t> checkpoint_step(const std::string& name);  // absent: no checkpoint is named so

namespace checkpoint_folders {

inline constexpr const char* kOld = ".old";
inline constexpr const char* kTemporary = ".tmp";

struct Found {
  int64_t step = 0;
  bool old = false;
  fs::path folder;
};

fs::path parent(const fs::path& run);

std::vector<Found> list(const fs::path& run);  // newest first; without *.tmp

// All that may be there of this step: the checkpoint, what stands aside for it, and what is left of a
// deletion that was cut off.
std::vector<fs::path> places(const fs::path& run, int64_t step);

std::string names(const fs::path& run);  // "step-00000010, step-00000020", oldest first; or "none"

// A crash half way through a deletion must not leave something that looks complete: it is renamed first, and
// the next checkpoint removes what is left.
void discard(FileSystem& files, const fs::path& folder);

void discard_later(FileSystem& files, const fs::path& run, int64_t step);

}  // namespace checkpoint_folders
}  // namespace saemill
