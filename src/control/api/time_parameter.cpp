#include "control/api/time_parameter.h"

#include <charconv>
#include <cmath>

#include "common/base/clock.h"
#include "control/api/problem.h"

namespace saemill::api {
namespace {

std::optional<int64_t> epoch(const std::string& text) {
  double value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  constexpr double kMost = 253402300800.0;  // the year 10000
  if (error != std::errc() || stop != end || !(value >= 0 && value < kMost)) return std::nullopt;
  return static_cast<int64_t>(value);
}

}  // namespace

int64_t time_parameter(const Request& request, const std::string& name, int64_t otherwise) {
  const auto text = request.text(name);
  if (!text) return otherwise;
  if (const auto seconds = epoch(*text)) return *seconds;
  if (const auto seconds = parse_utc_time(*text); seconds && *seconds >= 0)
    return static_cast<int64_t>(std::floor(*seconds));
  const char* accepted = "epoch seconds, or RFC 3339 UTC (2026-01-31T12:34:56Z)";
  const std::string message =
      fmt::format("the parameter {} is \"{}\"; accepted: {}", name, text->substr(0, 100), accepted);
  throw Problem(400, "invalid_parameter", message,
                {{"?" + name, "invalid_parameter", message, text->substr(0, 100), accepted}});
}

}  // namespace saemill::api
