#include "control/api/session_cookie.h"

#include <fmt/format.h>

namespace saemill::api {

std::string set_cookie(const std::string& secret, int64_t seconds) {
  return fmt::format("{}={}; Path=/; Max-Age={}; HttpOnly; SameSite=Strict", kSessionCookie, secret, seconds);
}

std::string session_in(std::string_view header) {
  while (!header.empty()) {
    const size_t end = std::min(header.find(';'), header.size());
    std::string_view part = header.substr(0, end);
    header.remove_prefix(std::min(end + 1, header.size()));
    while (part.starts_with(' ')) part.remove_prefix(1);
    if (part.starts_with(kSessionCookie) && part.substr(kSessionCookie.size()).starts_with('='))
      return std::string(part.substr(kSessionCookie.size() + 1));
  }
  return "";
}

}  // namespace saemill::api
