// How checkpoints lie in RUN/checkpoints. For checkpoint_write.cpp and checkpoint_read.cpp only.
//
//   step-00001000       complete
//   step-00001000.old   complete too: stands aside while another checkpoint of the same step takes its place
//   *.tmp               being written or being deleted; never read
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "common/base/file.h"

namespace saemill::checkpoint_folders {

constexpr const char* kFormat = "saemill-checkpoint";
constexpr int kVersion = 1;
constexpr const char* kManifest = "manifest.json";
constexpr const char* kOld = ".old";
constexpr const char* kTemporary = ".tmp";

struct Found {
  int64_t step = 0;
  bool old = false;
  fs::path folder;
};

inline fs::path parent(const fs::path& run) {
  return run / "checkpoints";
}

std::vector<Found> list(const fs::path& run);  // newest first; without *.tmp

// Of the manifest without its own "crc32c": damage in `state` must not go unseen.
uint32_t checksum(nlohmann::json manifest);

}  // namespace saemill::checkpoint_folders
