#include "control/api/dispatch.h"

#include <algorithm>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "control/api/assets.h"
#include "control/api/file_answer.h"
#include "control/api/problem.h"
#include "control/api/secret.h"

namespace saemill::api {
namespace {

HttpResponse with_etag(HttpResponse response, const std::string& if_none_match) {
  if (response.status != 200) return response;
  const std::string tag = fmt::format("\"{}\"", sha256_hex(response.body).substr(0, 32));
  response.headers.emplace_back("ETag", tag);
  if (names_etag(if_none_match, tag)) {
    response.status = 304;
    response.body.clear();
  }
  return response;
}

// The page's files. Anything else outside /api is not there.
std::optional<HttpResponse> asset_response(const Target& target, const std::string& method) {
  const Asset* asset = find_asset(target.path);
  if (asset == nullptr) return std::nullopt;
  if (method != "GET") {
    Problem problem(405, "method_not_allowed", fmt::format("{} {}; accepted: GET", method, target.path));
    problem.headers.emplace_back("Allow", "GET, HEAD");
    return problem_response(problem);
  }
  HttpResponse response;
  response.content_type = asset->content_type;
  response.body = asset->body;
  return response;
}

Json parse_body(const HttpRequest& request) {
  if (request.body.empty() && request.content_type.empty()) return nullptr;
  std::string type = request.content_type.substr(0, request.content_type.find(';'));
  while (type.ends_with(' ')) type.pop_back();
  for (char& c : type)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  if (type != "application/json")
    throw Problem(415, "unsupported_media_type",
                  fmt::format("Content-Type is \"{}\"; accepted: application/json", type.substr(0, 100)));
  return parse_json(request.body);
}

Fields accepted_query(const Route& route, Fields query) {
  for (const auto& [name, value] : query) {
    const bool known = std::any_of(route.query.begin(), route.query.end(),
                                   [&, &wanted = name](const char* one) { return wanted == one; });
    if (known) continue;
    std::string names;
    for (const char* one : route.query) names += (names.empty() ? "" : ", ") + std::string(one);
    const std::string message = fmt::format("there is no parameter \"{}\"; accepted: {}", name.substr(0, 100),
                                            names.empty() ? "none" : names);
    throw Problem(400, "invalid_parameter", message,
                  {{"?" + name, "unknown_parameter", message, value, names}});
  }
  return query;
}

HttpResponse guarded(const std::function<HttpResponse()>& work) {
  try {
    return work();
  } catch (const Problem& problem) {
    return problem_response(problem);
  } catch (const Error& error) {
    return problem_response(problem_of(error));
  } catch (const std::exception& error) {
    return problem_response(problem_of(Error(ErrorCode::internal, error.what())));
  }
}

HttpResponse call(Services& services, const Match& found, const Target& target, const HttpRequest& http) {
  Request request;
  request.path = found.path;
  request.session = http.session;
  request.head_only = http.head_only;
  request.query = accepted_query(*found.route, target.query);
  if (http.method == "POST") request.body = parse_body(http);
  return found.route->endpoint(services, request);
}

HttpResponse call_once(Services& services, const HttpRequest& http,
                       const std::function<HttpResponse()>& work) {
  const std::string& key = http.idempotency_key;
  if (key.size() > 255)
    throw Problem(400, "invalid_parameter", "Idempotency-Key is longer than 255 characters");
  const std::string request = sha256_hex(http.method + '\n' + http.target + '\n' + http.body);
  IdempotencyKeys& keys = *services.idempotency;
  const auto claimed =
      keys.claim(key, request, services.info.server_id, static_cast<int64_t>(epoch_seconds()));
  switch (claimed.claim) {
    case IdempotencyKeys::Claim::answered: {
      HttpResponse response;
      response.status = static_cast<int>(claimed.answer.status);
      response.content_type = claimed.answer.content_type;
      response.body = claimed.answer.body;
      response.headers.emplace_back("Idempotency-Replayed", "true");
      return response;
    }
    case IdempotencyKeys::Claim::under_way:
      throw Problem(409, "idempotency_under_way", "a request with this Idempotency-Key is being answered");
    case IdempotencyKeys::Claim::different:
      throw Problem(409, "idempotency_conflict", "this Idempotency-Key was used for another request");
    case IdempotencyKeys::Claim::ours:
      break;
  }
  HttpResponse response = guarded(work);
  // What failed on our side may be tried again with the same key.
  if (response.status >= 500) {
    keys.abandon(key);
  } else {
    keys.finish(key, {response.status, response.content_type, response.body});
  }
  return response;
}

HttpResponse answer(Services& services, const HttpRequest& http) {
  const auto target = parse_target(http.target);
  if (!target) throw Problem(400, "invalid_target", "the path or query of this request cannot be read");
  const Match found = match(http.method, *target);
  if (found.route == nullptr) {
    if (auto response = asset_response(*target, http.method)) return with_etag(*response, http.if_none_match);
    if (found.allowed.empty())
      throw Problem(404, "not_found", fmt::format("there is nothing at {}", target->path.substr(0, 200)));
    Problem problem(405, "method_not_allowed",
                    fmt::format("{} {}; accepted: {}", http.method, target->path, found.allowed));
    problem.headers.emplace_back("Allow", found.allowed);
    throw problem;
  }
  const auto work = [&] { return call(services, found, *target, http); };
  // Signing in is no such request: its answer is a secret, and is not stored.
  const bool storable =
      found.route->work == Route::Work::slow && found.route->access == Route::Access::signed_in;
  if (http.method == "POST" && !http.idempotency_key.empty() && storable)
    return call_once(services, http, work);
  HttpResponse response = work();
  if (http.method != "GET") return response;
  return response.file ? in_part(std::move(response), http)
                       : with_etag(std::move(response), http.if_none_match);
}

}  // namespace

HttpResponse dispatch(Services& services, const HttpRequest& request) {
  return guarded([&] { return answer(services, request); });
}

Disposition disposition(const std::string& method, const std::string& target) {
  Disposition result;
  const auto parsed = parse_target(target);
  if (!parsed) return result;
  const Match found = match(method, *parsed);
  if (found.route != nullptr) return {found.route->access, found.route->work};
  const bool below_api = !parsed->segments.empty() && parsed->segments[0] == "api";
  if (!below_api) result.access = Route::Access::open;
  return result;
}

}  // namespace saemill::api
