// The one cookie. Browsers keep cookies by host name and not by port: several servers that are reached as
// localhost must not share a name.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace saemill::api {

std::string session_cookie_name(const std::string& server_id);  // "saemill_session_4fQx0aBc"

// A value for Set-Cookie. net adds Secure behind a proxy that speaks TLS.
std::string set_cookie(const std::string& name, const std::string& secret, int64_t seconds);

// The value of the cookie of that name in a Cookie header; empty: there is none.
std::string cookie_in(std::string_view header, std::string_view name);

}  // namespace saemill::api
