#include "control/api/file_answer.h"

#include <algorithm>
#include <charconv>

#include "control/api/problem.h"

namespace saemill::api {
namespace {

std::string_view trimmed(std::string_view text) {
  while (text.starts_with(' ') || text.starts_with('\t')) text.remove_prefix(1);
  while (text.ends_with(' ') || text.ends_with('\t')) text.remove_suffix(1);
  return text;
}

// Digits alone. One beyond all sizes is the largest.
std::optional<int64_t> number(std::string_view digits) {
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  if (digits.empty() || !std::all_of(digits.begin(), digits.end(), is_digit)) return std::nullopt;
  int64_t value = 0;
  const auto [stop, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  return error == std::errc() ? value : INT64_MAX;
}

bool is_bytes(std::string_view unit) {
  constexpr std::string_view kBytes = "bytes";
  return unit.size() == kBytes.size() &&
         std::equal(unit.begin(), unit.end(), kBytes.begin(), [](char a, char b) { return (a | 0x20) == b; });
}

std::string content_type(std::string_view name) {
  if (name.ends_with(".json")) return "application/json";
  if (name.ends_with(".log") || name.ends_with(".txt")) return "text/plain; charset=utf-8";
  return "application/octet-stream";
}

// Nothing that a header, a shell or another file system reads as more than a name.
std::string safe_name(std::string name) {
  for (char& c : name) {
    const bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                       c == '.' || c == '-' || c == '_';
    if (!plain) c = '_';
  }
  return name;
}

}  // namespace

RangeRequest parse_range(std::string_view header, int64_t size) {
  using Kind = RangeRequest::Kind;
  const size_t equals = header.find('=');
  // An empty file has no part that could be named; all of it is the better answer.
  if (equals == std::string_view::npos || !is_bytes(header.substr(0, equals)) || size == 0) return {};
  const std::string_view range = trimmed(header.substr(equals + 1));
  const size_t dash = range.find('-');
  if (dash == std::string_view::npos) return {};
  const auto first = number(range.substr(0, dash)), last = number(range.substr(dash + 1));
  if (dash == 0) {
    if (!last) return {};
    if (*last == 0) return {.kind = Kind::unsatisfiable};
    const int64_t length = std::min(*last, size);
    return {.kind = Kind::part, .offset = size - length, .length = length};
  }
  if (!first || (!last && dash + 1 < range.size()) || (last && *last < *first)) return {};
  if (*first >= size) return {.kind = Kind::unsatisfiable};
  return {.kind = Kind::part,
          .offset = *first,
          .length = std::min(last.value_or(size - 1), size - 1) - *first + 1};
}

HttpResponse file_response(std::shared_ptr<const OpenFile> file) {
  HttpResponse response;
  response.content_type = content_type(file->name());
  response.headers = {
      {"ETag", file->etag()},
      {"Accept-Ranges", "bytes"},
      {"Content-Disposition", fmt::format("attachment; filename=\"{}\"", safe_name(file->name()))}};
  const int64_t size = file->size();
  response.file = FileBody{std::move(file), 0, size};
  return response;
}

HttpResponse in_part(HttpResponse whole, const HttpRequest& request) {
  const std::string& etag = whole.file->file->etag();
  if (names_etag(request.if_none_match, etag)) {
    whole.status = 304;
    whole.file.reset();
    return whole;
  }
  // Range means nothing to HEAD. A part of another file than the one that was begun would damage it; a date
  // in If-Range matches nothing, since none is told.
  const bool applies = !request.head_only && (request.if_range.empty() || request.if_range == etag);
  if (!applies) return whole;
  const int64_t size = whole.file->length;
  const RangeRequest range = parse_range(request.range, size);
  if (range.kind == RangeRequest::Kind::unsatisfiable) {
    Problem problem(416, "range_not_satisfiable",
                    fmt::format("{} has {} bytes; asked for: {}", whole.file->file->name(), size,
                                request.range.substr(0, 100)));
    problem.headers.emplace_back("Content-Range", fmt::format("bytes */{}", size));
    throw problem;
  }
  if (range.kind == RangeRequest::Kind::whole) return whole;
  whole.status = 206;
  whole.file->offset = range.offset;
  whole.file->length = range.length;
  whole.headers.emplace_back(
      "Content-Range", fmt::format("bytes {}-{}/{}", range.offset, range.offset + range.length - 1, size));
  return whole;
}

}  // namespace saemill::api
