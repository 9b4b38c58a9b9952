// The one cookie.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace saemill::api {

inline constexpr std::string_view kSessionCookie = "saemill_session";

// A value for Set-Cookie. net adds Secure behind a proxy that speaks TLS.
std::string set_cookie(const std::string& secret, int64_t seconds);

// The session's secret in a Cookie header; empty: there is none.
std::string session_in(std::string_view cookie_header);

}  // namespace saemill::api
