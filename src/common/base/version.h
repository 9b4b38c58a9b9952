// The version of a build, which all its programs share.
#pragma once

namespace saemill {

extern const char* const kVersion;  // "0.1.0"

// The variable in which `saemill` tells its version to whatever it starts. What a launcher and its ranks say
// to each other belongs to one version; a mixture of two would end in words about options that nobody gave.
inline constexpr const char* kStartedByVersion = "SAEMILL_STARTED_BY_VERSION";

}  // namespace saemill
