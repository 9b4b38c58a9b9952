#include "control/api/http.h"

#include <algorithm>
#include <boost/url/pct_string_view.hpp>
#include <boost/url/src.hpp>  // here and nowhere else: its library is then not needed

#include "control/api/problem.h"

namespace saemill::api {
namespace {

// PostgreSQL, unlike SQLite, takes no other text.
bool is_utf8(const std::string& text) {
  const auto ascii = [](char c) { return static_cast<unsigned char>(c) < 0x80; };
  if (std::all_of(text.begin(), text.end(), ascii)) return true;
  try {
    return !Json(text).dump().empty();
  } catch (const Json::type_error&) {
    return false;
  }
}

// Absent: a bad escape, a NUL, or no UTF-8.
std::optional<std::string> decode(std::string_view text) {
  const auto view = boost::urls::make_pct_string_view(text);
  if (!view) return std::nullopt;
  std::string decoded = view->decode();
  if (decoded.find('\0') != std::string::npos || !is_utf8(decoded)) return std::nullopt;
  return decoded;
}

bool parse_path(std::string_view text, Target& target) {
  if (!text.starts_with('/')) return false;
  for (size_t begin = 1; begin <= text.size();) {
    const size_t end = std::min(text.find('/', begin), text.size());
    auto segment = decode(text.substr(begin, end - begin));
    if (!segment || *segment == "." || *segment == ".." || segment->find('/') != std::string::npos)
      return false;
    if (segment->empty() && end != text.size()) return false;
    target.path += "/" + *segment;
    if (!segment->empty()) target.segments.push_back(std::move(*segment));
    begin = end + 1;
  }
  return true;
}

bool parse_query(std::string_view text, Target& target) {
  while (!text.empty()) {
    const size_t end = std::min(text.find('&'), text.size());
    std::string part(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (part.empty()) continue;
    for (char& c : part)
      if (c == '+') c = ' ';  // as HTML forms send a space
    const size_t equals = std::min(part.find('='), part.size());
    auto name = decode(std::string_view(part).substr(0, equals));
    auto value = decode(std::string_view(part).substr(std::min(equals + 1, part.size())));
    if (!name || !value) return false;
    target.query.emplace_back(std::move(*name), std::move(*value));
  }
  return true;
}

}  // namespace

std::optional<Target> parse_target(std::string_view target) {
  if (target.find('#') != std::string_view::npos) return std::nullopt;
  const size_t question = std::min(target.find('?'), target.size());
  Target parsed;
  if (!parse_path(target.substr(0, question), parsed)) return std::nullopt;
  if (!parse_query(target.substr(std::min(question + 1, target.size())), parsed)) return std::nullopt;
  return parsed;
}

Json parse_json(std::string_view text) {
  constexpr int kDeepest = 32;
  constexpr int kMostMembers = 1000;
  int members = 0;
  const auto limit = [&](int level, Json::parse_event_t event, Json&) {
    if (level > kDeepest)
      throw Problem(400, "invalid_json", fmt::format("the body is nested deeper than {} levels", kDeepest));
    if (event == Json::parse_event_t::key && ++members > kMostMembers)
      throw Problem(400, "invalid_json", fmt::format("the body has more than {} members", kMostMembers));
    return true;
  };
  try {
    return Json::parse(text, limit);
  } catch (const Json::exception& error) {
    throw Problem(400, "invalid_json", fmt::format("the body is no JSON: {}", error.what()));
  }
}

HttpResponse json_response(const Json& json, int status) {
  HttpResponse response;
  response.status = status;
  // Names and commands come from elsewhere: bytes that are no UTF-8 must not fail an answer.
  response.body = json.dump(-1, ' ', false, Json::error_handler_t::replace);
  return response;
}

HttpResponse page_response(Json data, int64_t page, int64_t limit, int64_t total) {
  return json_response(
      {{"data", std::move(data)},
       {"pagination",
        {{"page", page}, {"limit", limit}, {"total", total}, {"total_pages", (total + limit - 1) / limit}}}});
}

bool names_etag(const std::string& if_none_match, const std::string& etag) {
  return if_none_match == "*" || if_none_match.find(etag) != std::string::npos;
}

}  // namespace saemill::api
