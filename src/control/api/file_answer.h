// Answers that are files, whole or in part (RFC 9110, sections 13 and 14).
#pragma once

#include "control/api/http.h"

namespace saemill::api {

// What a header Range asks of so many bytes.
struct RangeRequest {
  enum class Kind {
    whole,          // no range, several, or nothing that can be read: the header counts as absent
    part,           // [offset, offset + length)
    unsatisfiable,  // begins behind the end
  };
  Kind kind = Kind::whole;
  int64_t offset = 0, length = 0;
};
RangeRequest parse_range(std::string_view header, int64_t size);

// 200 with all of the file, to be saved under its name.
HttpResponse file_response(std::shared_ptr<const OpenFile> file);

// The same as If-None-Match, If-Range and Range want it: 304, 206 or 200. Problem 416 range_not_satisfiable.
HttpResponse in_part(HttpResponse whole, const HttpRequest& request);

}  // namespace saemill::api
