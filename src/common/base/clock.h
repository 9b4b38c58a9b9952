// Time, as the formats want it: monotonic seconds for intervals, epoch seconds and RFC 3339 UTC for people
// and files.
#pragma once

#include <fmt/format.h>

#include <chrono>
#include <cmath>
#include <cstdint>
#include <ctime>
#include <optional>
#include <string>

namespace saemill {

inline double monotonic_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

inline double epoch_seconds() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

// "2026-01-31T12:34:56.789Z"
inline std::string utc_time(double epoch) {
  const auto ms = static_cast<int64_t>(std::floor(epoch * 1e3));
  const std::time_t seconds = ms / 1000;
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", utc.tm_year + 1900, utc.tm_mon + 1,
                     utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec, ms % 1000);
}

// Epoch seconds of "2026-01-31T12:34:56Z", with or without a fraction. Absent: it is something else.
inline std::optional<double> parse_utc_time(const std::string& text) {
  std::tm utc{};
  const char* rest = ::strptime(text.c_str(), "%Y-%m-%dT%H:%M:%S", &utc);
  if (rest == nullptr) return std::nullopt;
  double fraction = 0;
  if (*rest == '.') {
    double unit = 0.1;
    if (*++rest < '0' || *rest > '9') return std::nullopt;
    for (; *rest >= '0' && *rest <= '9'; ++rest, unit /= 10) fraction += unit * (*rest - '0');
  }
  if (rest[0] != 'Z' || rest[1] != '\0') return std::nullopt;
  return static_cast<double>(::timegm(&utc)) + fraction;
}

inline std::string utc_now() {
  return utc_time(epoch_seconds());
}

}  // namespace saemill
