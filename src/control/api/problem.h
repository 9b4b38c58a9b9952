// Refusals, as application/problem+json (RFC 9457): {title, status, detail, code, errors[]}. Codes are
// stable.
#pragma once

#include <stdexcept>
#include <string>
#include <vector>

#include "common/base/error.h"
#include "control/api/http.h"

namespace saemill::api {

// One thing that is wrong with a request.
struct FieldError {
  std::string
      pointer;  // JSON pointer into the body ("/config/sae/k"), or "?name" for a parameter of the query
  std::string code, message;
  Json value, accepted;  // null: says nothing
};

class Problem : public std::runtime_error {
 public:
  Problem(int status, std::string code, const std::string& detail, std::vector<FieldError> errors = {})
      : std::runtime_error(detail), status_(status), code_(std::move(code)), errors_(std::move(errors)) {}
  int status() const { return status_; }
  const std::string& code() const { return code_; }
  const std::vector<FieldError>& errors() const { return errors_; }

  Json more =
      Json::object();  // members beside the standard ones: {asked, suitable, rejected} of insufficient_gpus
  Fields headers;      // of the answer: Allow, Retry-After

 private:
  int status_;
  std::string code_;
  std::vector<FieldError> errors_;
};

HttpResponse problem_response(const Problem& problem);
// What an endpoint let escape: Error{usage, bad_config, bad_data} are the asker's (422), retry is 503, the
// rest 500 with a message that tells nothing of the inside.
Problem problem_of(const Error& error);

}  // namespace saemill::api
