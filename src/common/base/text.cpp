#include "common/base/text.h"

#include <fmt/format.h>

#include <cmath>

namespace saemill {

std::string memory_text(int64_t bytes) {
  constexpr double kMebibyte = 1 << 20, kGibibyte = 1 << 30;
  const auto count = static_cast<double>(bytes);
  return count < kGibibyte ? fmt::format("{:.1f} MiB", count / kMebibyte)
                           : fmt::format("{:.1f} GiB", count / kGibibyte);
}

std::string duration_text(double seconds) {
  constexpr int64_t kMinute = 60, kHour = 60 * kMinute, kDay = 24 * kHour;
  const auto whole = static_cast<int64_t>(std::llround(seconds));
  if (whole >= kDay) return fmt::format("{}d{:02}h", whole / kDay, whole % kDay / kHour);
  if (whole >= kHour) return fmt::format("{}h{:02}m", whole / kHour, whole % kHour / kMinute);
  if (whole >= kMinute) return fmt::format("{}m{:02}s", whole / kMinute, whole % kMinute);
  return fmt::format("{}s", whole);
}

}  // namespace saemill
