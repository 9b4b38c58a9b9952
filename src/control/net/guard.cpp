#include "control/net/guard.h"

#include <algorithm>
#include <array>

namespace saemill::net {
namespace {

using api::Problem;
using api::Route;

std::string lower(std::string text) {
  for (char& c : text)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return text;
}

std::string shown(const std::string& text) {
  return text.size() > 100 ? text.substr(0, 100) + "..." : text;
}

std::optional<Problem> check_origin(const Head& head, const api::Auth& auth) {
  const bool safe = head.method == "GET" || head.method == "HEAD";
  if (safe && !head.websocket) return std::nullopt;
  if (head.origin.empty()) {
    // Programs send none; a browser always does, and a cookie is what a browser has.
    if (auth.session_in(head.cookie).empty() || bearer_token(head.authorization)) return std::nullopt;
    return Problem(403, "forbidden_origin", "a request with a cookie needs an Origin");
  }
  if (same_origin(head.origin, head.host)) return std::nullopt;
  return Problem(
      403, "forbidden_origin",
      fmt::format("Origin is \"{}\"; accepted: http(s)://{}", shown(head.origin), shown(head.host)));
}

std::optional<Problem> check_fetch_site(const Head& head, Route::Access access) {
  const bool page = access == Route::Access::open && head.method == "GET" && !head.websocket;
  if (page || head.sec_fetch_site.empty() || head.sec_fetch_site == "same-origin" ||
      head.sec_fetch_site == "none")
    return std::nullopt;
  return Problem(
      403, "forbidden_origin",
      fmt::format("Sec-Fetch-Site is \"{}\"; accepted: same-origin, none", shown(head.sec_fetch_site)));
}

std::optional<Problem> check_identity(const Head& head, Route::Access access, const api::Auth& auth) {
  if (access == Route::Access::open) return std::nullopt;
  Problem refusal(401, "unauthorized", "");
  if (const auto token = bearer_token(head.authorization)) {
    if (auth.token_matches(*token)) return std::nullopt;
    refusal = Problem(401, "unauthorized", "the token is wrong; it is in DATA/token");
  } else if (const std::string session = auth.session_in(head.cookie); session.empty()) {
    refusal =
        Problem(401, "unauthorized",
                "neither a token (Authorization: Bearer, from DATA/token) nor a session (`saemill login`)");
  } else if (!auth.session_expiry(session)) {
    refusal = Problem(401, "unauthorized", "the session has ended; `saemill login` opens another");
  } else if (access == Route::Access::signed_in) {
    return std::nullopt;
  } else {
    refusal = Problem(401, "unauthorized", "this needs the token, not a session");
  }
  refusal.headers.emplace_back("WWW-Authenticate", "Bearer");
  return refusal;
}

}  // namespace

std::optional<std::string> bearer_token(const std::string& authorization) {
  constexpr size_t kScheme = 7;
  if (lower(authorization.substr(0, kScheme)) != "bearer ") return std::nullopt;
  return authorization.substr(kScheme);
}

bool same_origin(const std::string& origin, const std::string& host) {
  const std::string asked = lower(origin), own = lower(host);
  return asked == "http://" + own || asked == "https://" + own;
}

bool host_allowed(const GuardRules& rules, const std::string& host) {
  const std::string text = lower(host);
  return std::any_of(rules.hosts.begin(), rules.hosts.end(), [&](const std::string& name) {
    if (!text.starts_with(name)) return false;
    const std::string_view port = std::string_view(text).substr(name.size());
    return port.empty() ||
           (port.size() >= 2 && port.size() <= 6 && port[0] == ':' &&
            std::all_of(port.begin() + 1, port.end(), [](char c) { return c >= '0' && c <= '9'; }));
  });
}

std::optional<Problem> guard(const GuardRules& rules, const Head& head, Route::Access access,
                             const api::Auth& auth) {
  constexpr std::array<std::string_view, 4> kMethods{"GET", "HEAD", "POST", "DELETE"};
  if (!host_allowed(rules, head.host))
    return Problem(403, "forbidden_host",
                   fmt::format("Host is \"{}\"; accepted: {}; --host NAME adds one", shown(head.host),
                               fmt::join(rules.hosts, ", ")));
  if (std::find(kMethods.begin(), kMethods.end(), head.method) == kMethods.end()) {
    Problem refusal(405, "method_not_allowed",
                    fmt::format("{}; accepted: GET, HEAD, POST, DELETE", shown(head.method)));
    refusal.headers.emplace_back("Allow", "GET, HEAD, POST, DELETE");
    return refusal;
  }
  if (auto refusal = check_origin(head, auth)) return refusal;
  if (auto refusal = check_fetch_site(head, access)) return refusal;
  return check_identity(head, access, auth);
}

}  // namespace saemill::net
