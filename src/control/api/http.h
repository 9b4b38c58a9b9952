// A request and its answer, as endpoints see them: without sockets, without an HTTP library.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "control/api/open_file.h"

namespace saemill::api {

using Json = nlohmann::ordered_json;
using Fields = std::vector<std::pair<std::string, std::string>>;

// What came over the wire, checked for who may ask (net/guard.h) but not for what.
struct HttpRequest {
  std::string method;                                        // "GET"; HEAD comes as GET
  std::string target;                                        // "/api/v1/system/gpus/0/history?from=..."
  std::string content_type, idempotency_key, if_none_match;  // empty: the header is absent
  std::string range, if_range;                               // the same
  std::string session;  // the secret of the cookie that was sent, valid or not; empty: none
  std::string body;
  bool head_only = false;  // it came as HEAD, which must change nothing
};

// A part of a file that is sent as it is read, never held as a whole.
struct FileBody {
  std::shared_ptr<const OpenFile> file;
  int64_t offset = 0, length = 0;  // bytes
};

struct HttpResponse {
  int status = 200;
  std::string content_type = "application/json";
  std::string body;
  std::optional<FileBody> file;  // there: it is sent, and the body is empty
  Fields headers;                // besides Content-Type and Content-Length
};

// Percent-decoded. Absent: a bad escape, a NUL, what is no UTF-8, a segment "." or "..", an empty segment
// other than the last.
struct Target {
  std::string path;  // "/api/v1/system/gpus/0", decoded
  std::vector<std::string> segments;
  Fields query;  // in order
};
std::optional<Target> parse_target(std::string_view target);

// Of what anybody may send. Problem 400 invalid_json: no JSON, nested deeper than 32 levels (dump() and
// copies recurse), or with more than 1000 members (an ordered object compares each with all before it).
Json parse_json(std::string_view text);

HttpResponse json_response(const Json& json, int status = 200);
// {data[], pagination{page, limit, total, total_pages}}
HttpResponse page_response(Json data, int64_t page, int64_t limit, int64_t total);

// Whether a header If-None-Match names this one.
bool names_etag(const std::string& if_none_match, const std::string& etag);

}  // namespace saemill::api
