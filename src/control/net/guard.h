// Who may ask at all: decided from the head of a request, before its body is read. The rules are those of
// docs/architecture.md, "Security".
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "control/api/problem.h"
#include "control/api/route.h"

namespace saemill::net {

// What of a request's head decides. Views of headers are empty where the header is absent.
struct Head {
  std::string method, target;
  std::string host, origin, authorization, cookie, sec_fetch_site;
  bool websocket = false;  // asks for an upgrade
};

struct GuardRules {
  std::vector<std::string> hosts;  // names without a port, in lower case: "localhost", "127.0.0.1", "[::1]"
};

// Absent: it may go on. Otherwise 401 unauthorized, 403 forbidden_host or forbidden_origin, 405
// method_not_allowed.
//   Host      exactly one of the names, with any port or none: a page on another name that resolves to us is
//   refused Origin    of a WebSocket and of anything but GET: absent, or http(s):// + Host; with a cookie,
//   never absent Sec-Fetch-Site, where a browser sends it: same-origin or none, but for pages that anybody
//   may open token or session, as the route asks
std::optional<api::Problem> guard(const GuardRules& rules, const Head& head, api::Route::Access access,
                                  const api::Auth& auth);

// The token of "Bearer TOKEN" (the scheme in any case). Absent: it is something else.
std::optional<std::string> bearer_token(const std::string& authorization);

// "http://example:80" is true for "example:80".
bool same_origin(const std::string& origin, const std::string& host);
bool host_allowed(const GuardRules& rules, const std::string& host);

}  // namespace saemill::net
