// HTTP to a saemill server, for the commands that ask one. Blocking; not thread-safe.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/error.h"

namespace saemill::net {

struct ServerAddress {
  std::string url;    // "http://127.0.0.1:8750"
  std::string token;  // never shown
};

using Headers = std::vector<std::pair<std::string, std::string>>;

struct Answer {
  int status = 0;
  std::string body;
  Headers headers;
  bool ok() const { return status >= 200 && status < 300; }
  std::string header(std::string_view name) const;  // empty: it is absent
};

// The server's refusal, application/problem+json. ErrorCode: bad_config for 422 invalid_config, retry for 503
// and 429, internal for other 5xx, else usage.
class AnswerError : public Error {
 public:
  AnswerError(const std::string& url, const Answer& answer);
  int status() const { return status_; }
  const std::string& code() const { return code_; }        // "bad_state"; empty: it told none
  const std::string& problem() const { return problem_; }  // its detail

 private:
  int status_;
  std::string code_, problem_;
};

class Client {
 public:
  // `timeout_s`: for one answer; of a download, for the next of its bytes. Error{usage}: another kind of URL
  // (TLS is not spoken).
  explicit Client(ServerAddress address, double timeout_s = 10);

  const ServerAddress& address() const { return address_; }

  // `body`: empty for none, else JSON. Error{retry}: nobody answers, or not in time.
  Answer request(const std::string& method, const std::string& target, const std::string& body = "",
                 const Headers& headers = {});
  // The answer's JSON; null: it is empty. AnswerError: it is a refusal.
  nlohmann::ordered_json json(const std::string& method, const std::string& target,
                              const std::string& body = "", const Headers& headers = {});

  // A file's bytes from `offset` on, in pieces as they come, never held as a whole. `etag`: of the file that
  // is meant. AnswerError: it is refused. Error{retry}: it breaks off, or there is another file by now.
  void download(const std::string& target, int64_t offset, const std::string& etag,
                const std::function<void(std::string_view)>& take);

 private:
  ServerAddress address_;
  std::string host_, port_;
  double timeout_s_;
};

}  // namespace saemill::net
