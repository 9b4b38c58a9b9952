#include "common/base/memory_text.h"

#include <fmt/format.h>

namespace saemill {

std::string memory_text(int64_t bytes) {
  constexpr double kMebibyte = 1 << 20, kGibibyte = 1 << 30;
  const auto count = static_cast<double>(bytes);
  return count < kGibibyte ? fmt::format("{:.1f} MiB", count / kMebibyte)
                           : fmt::format("{:.1f} GiB", count / kGibibyte);
}

}  // namespace saemill
