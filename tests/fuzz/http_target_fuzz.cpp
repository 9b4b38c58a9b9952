// The head of a request: a first line "METHOD TARGET", then lines "Name: value" in any order. What reads it,
// who may ask, and the answers to requests without a body.
#include <strings.h>

#include <map>

#include "control/api/problem.h"
#include "control/api/time_parameter.h"
#include "control/net/guard.h"
#include "tests/fuzz/fuzz_tools.h"

namespace {

using namespace saemill;
using namespace saemill::fuzz;
using api::Route;
using api::Target;

const net::GuardRules kRules{{"localhost", "127.0.0.1", "[::1]"}};

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
  return out;
}

// A target that means the same, with every byte escaped.
std::string written(const Target& target) {
  std::string text;
  for (const std::string& segment : target.segments) text += "/" + escaped(segment);
  if (target.path.ends_with('/') || text.empty()) text += "/";
  for (size_t i = 0; i < target.query.size(); ++i)
    text += (i == 0 ? "?" : "&") + escaped(target.query[i].first) + "=" + escaped(target.query[i].second);
  return text;
}

void check_times(const Target& target) {
  api::Request request;
  request.query = target.query;
  for (const auto& [name, value] : target.query) {
    try {
      const int64_t time = api::time_parameter(request, name, -1);
      check(time >= 0 && time < 253402300800, "a time outside of what is accepted");
    } catch (const api::Problem& problem) {
      check(problem.status() == 400, "a time refused with another status");
    }
  }
}

void check_target(const std::string& text) {
  const auto target = api::parse_target(text);
  if (!target) return;
  check(target->path.starts_with('/'), "a path without a slash");
  check(target->path.find('\0') == std::string::npos, "a path with a NUL");
  // What is no UTF-8 would fail in PostgreSQL; so it does here.
  Json(target->path).dump();
  for (const auto& [name, value] : target->query) Json{name, value}.dump();
  for (const std::string& segment : target->segments)
    check(!segment.empty() && segment != "." && segment != ".." && segment.find('/') == std::string::npos,
          "a segment that leads elsewhere");
  const auto again = api::parse_target(written(*target));
  check(again && again->path == target->path && again->segments == target->segments &&
            again->query == target->query,
        "a target that is read differently the second time");
  check_times(*target);
}

// Whoever gets in must have a right to.
void check_guard(World& world, const net::Head& head, Route::Access access) {
  const auto refusal = net::guard(kRules, head, access, world.auth());
  if (refusal) {
    check(refusal->status() == 401 || refusal->status() == 403 || refusal->status() == 405,
          "a refusal of another status");
    return check_answer(api::problem_response(*refusal),
                        head.host.size() + head.origin.size() + head.sec_fetch_site.size());
  }
  check(net::host_allowed(kRules, head.host), "a foreign host came in");
  // A scheme may be written in any case (RFC 9110, 11.1), a token not.
  const bool token = head.authorization.size() > 7 &&
                     ::strncasecmp(head.authorization.c_str(), "bearer ", 7) == 0 &&
                     head.authorization.substr(7) == World::kTheToken;
  const bool session = world.auth().session_in(head.cookie) == world.session();
  check(access == Route::Access::open || token || (session && access == Route::Access::signed_in),
        "a stranger came in");
  const bool changes = head.websocket || (head.method != "GET" && head.method != "HEAD");
  if (changes && session && !token && access != Route::Access::open)
    check(net::same_origin(head.origin, head.host), "another page came in with our cookie");
}

// Inputs say "saemill_session=SESSION" for the cookie that is ours.
std::string with_session(std::string cookie, World& world) {
  const auto put = [&cookie](std::string_view word, const std::string& real) {
    if (const size_t at = cookie.find(word); at != std::string::npos) cookie.replace(at, word.size(), real);
  };
  const std::string ours = world.auth().set_cookie("", 0);
  put("saemill_session", ours.substr(0, ours.find('=')));
  put("SESSION", world.session());
  return cookie;
}

void check_dispatch(World& world, const HttpRequest& asked, size_t size) {
  const HttpResponse answer = api::dispatch(world.services(), asked);
  check_answer(answer, size);
  for (const auto& [name, value] : answer.headers)
    if (name == "ETag" && asked.if_none_match == "*") check(answer.status == 304, "a known ETag, sent again");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  World& world = World::fresh();
  Input input(data, size);
  const std::string first = input.line();
  const size_t space = std::min(first.find(' '), first.size());
  const std::string method = first.substr(0, space), target = first.substr(std::min(space + 1, first.size()));
  std::map<std::string, std::string> headers;
  while (!input.empty()) {
    const std::string line = input.line();
    const size_t colon = line.find(": ");
    if (colon != std::string::npos) headers[line.substr(0, colon)] = line.substr(colon + 2);
  }
  headers["Cookie"] = with_session(headers["Cookie"], world);

  check_target(target);
  const auto where = api::disposition(method == "HEAD" ? "GET" : method, target);
  const net::Head head{method,
                       target,
                       headers["Host"],
                       headers["Origin"],
                       headers["Authorization"],
                       headers["Cookie"],
                       headers["Sec-Fetch-Site"],
                       headers.contains("Upgrade")};
  check_guard(world, head, where.access);
  check_guard(world, head, Route::Access::token);
  if (method != "GET" && method != "HEAD" && method != "DELETE") return 0;
  HttpRequest asked;
  asked.method = method == "HEAD" ? "GET" : method;
  asked.head_only = method == "HEAD";
  asked.target = target;
  asked.if_none_match = headers["If-None-Match"];
  if (method != "DELETE") asked.session = world.auth().session_in(headers["Cookie"]);  // ours must stay
  check_dispatch(world, asked, size);
  return 0;
}
