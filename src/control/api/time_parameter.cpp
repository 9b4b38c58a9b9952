#include "control/api/time_parameter.h"

#include <charconv>
#include <ctime>

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

std::optional<int64_t> rfc3339(const std::string& text) {
  std::tm time{};
  const char* rest = ::strptime(text.c_str(), "%Y-%m-%dT%H:%M:%S", &time);
  if (rest == nullptr) return std::nullopt;
  if (*rest == '.') {
    const char* digits = ++rest;
    while (*rest >= '0' && *rest <= '9') ++rest;
    if (rest == digits) return std::nullopt;
  }
  if (std::string(rest) != "Z") return std::nullopt;
  const int64_t seconds = ::timegm(&time);
  return seconds < 0 ? std::nullopt : std::optional(seconds);
}

}  // namespace

int64_t time_parameter(const Request& request, const std::string& name, int64_t otherwise) {
  const auto text = request.text(name);
  if (!text) return otherwise;
  if (const auto seconds = epoch(*text)) return *seconds;
  if (const auto seconds = rfc3339(*text)) return *seconds;
  const char* accepted = "epoch seconds, or RFC 3339 UTC (2026-01-31T12:34:56Z)";
  const std::string message =
      fmt::format("the parameter {} is \"{}\"; accepted: {}", name, text->substr(0, 100), accepted);
  throw Problem(400, "invalid_parameter", message,
                {{"?" + name, "invalid_parameter", message, text->substr(0, 100), accepted}});
}

}  // namespace saemill::api
