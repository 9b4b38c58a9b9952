// What a checkpoint's manifest says of itself. For checkpoint_write.cpp and checkpoint_read.cpp only.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>

#include "common/protocol/checkpoint_folders.h"

namespace saemill::checkpoint_folders {

constexpr const char* kFormat = "saemill-checkpoint";
constexpr int kVersion = 1;
constexpr const char* kManifest = "manifest.json";

// Of the manifest without its own "crc32c": damage in `state` must not go unseen.
uint32_t checksum(nlohmann::json manifest);

}  // namespace saemill::checkpoint_folders
