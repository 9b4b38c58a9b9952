// What an endpoint is given: the matched path, and typed reading of query and body. Whatever does not fit is
// thrown as a Problem that names the parameter, the value found and what is accepted.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "control/api/http.h"

namespace saemill::api {

struct Request {
  std::map<std::string, std::string> path;  // {id} of the route's pattern -> value
  Fields query;                             // only names that the route declares
  Json body;                                // of a POST: any JSON value; else null
  std::string session;                      // the cookie's secret, valid or not
  bool head_only = false;
  std::string path_of(const std::string& name) const { return path.at(name); }

  // 400 invalid_parameter where the text is no such value, or is given twice.
  std::optional<std::string> text(const std::string& name) const;
  int64_t integer(const std::string& name, int64_t otherwise, int64_t least, int64_t most) const;
  std::string one_of(const std::string& name, const std::string& otherwise,
                     const std::vector<std::string>& accepted) const;
  std::vector<std::string> list(const std::string& name) const;  // separated by commas; absent: empty
  bool has(const std::string& name) const { return text(name).has_value(); }
};

// A JSON object of a body whose keys are all known. 422 invalid_request otherwise.
class Members {
 public:
  Members(const Json& body, std::vector<std::string> known, std::string pointer = "");
  bool has(const std::string& name) const;        // there, and not null
  const Json& at(const std::string& name) const;  // 422 where it is not
  std::string text(const std::string& name) const;
  int64_t integer(const std::string& name, int64_t least, int64_t most) const;
  bool flag(const std::string& name) const;
  std::string one_of(const std::string& name, const std::vector<std::string>& accepted) const;
  std::vector<std::string> texts(const std::string& name, size_t most) const;  // may be empty
  // 422 where both are there.
  void not_both(const char* one, const char* other) const;
  // Strings and whole numbers, as text: device ids. Not empty.
  std::vector<std::string> ids(const std::string& name) const;

 private:
  [[noreturn]] void refuse(const std::string& name, const Json& value, const std::string& accepted) const;
  const Json& body_;
  std::string pointer_;
};

}  // namespace saemill::api
