#include "control/api/session_cookie.h"

#include <fmt/format.h>

namespace saemill::api {

std::string session_cookie_name(const std::string& server_id) {
  constexpr size_t kEnough = 8;  // characters, to tell servers apart
  return "saemill_session_" + server_id.substr(0, kEnough);
}

std::string set_cookie(const std::string& name, const std::string& secret, int64_t seconds) {
  return fmt::format("{}={}; Path=/; Max-Age={}; HttpOnly; SameSite=Strict", name, secret, seconds);
}

std::string cookie_in(std::string_view header, std::string_view name) {
  while (!header.empty()) {
    const size_t end = std::min(header.find(';'), header.size());
    std::string_view part = header.substr(0, end);
    header.remove_prefix(std::min(end + 1, header.size()));
    while (part.starts_with(' ')) part.remove_prefix(1);
    if (part.starts_with(name) && part.substr(name.size()).starts_with('='))
      return std::string(part.substr(name.size() + 1));
  }
  return "";
}

}  // namespace saemill::api
