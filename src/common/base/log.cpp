#include "common/base/log.h"

#include <fmt/format.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <string>

namespace saemill {
namespace {

spdlog::logger& logger() {
  static const auto instance = [] {
    auto log = std::make_shared<spdlog::logger>("saemill", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    log->set_pattern("%Y-%m-%dT%H:%M:%S.%eZ %l %v", spdlog::pattern_time_type::utc);
    log->flush_on(spdlog::level::info);
    return log;
  }();
  return *instance;
}

}  // namespace

void log_line(LogLevel level, std::string_view message) {
  std::string line;
  for (const char c : message) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) {
      line += fmt::format("\\x{:02x}", byte);
    } else {
      line += c;
    }
  }
  const auto spd = level == LogLevel::info      ? spdlog::level::info
                   : level == LogLevel::warning ? spdlog::level::warn
                                                : spdlog::level::err;
  logger().log(spd, "{}", line);
}

}  // namespace saemill
