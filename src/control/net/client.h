// HTTP to a saemill server, for the commands that ask one. Blocking; not thread-safe.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace saemill::net {

struct ServerAddress {
  std::string url;    // "http://127.0.0.1:8750"
  std::string token;  // never shown
};

struct Answer {
  int status = 0;
  std::string body;
  bool ok() const { return status >= 200 && status < 300; }
};

class Client {
 public:
  // Error{usage}: another kind of URL (TLS is not spoken).
  explicit Client(ServerAddress address, double timeout_s = 10);

  // `body`: empty for none, else JSON. Error{retry}: nobody answers, or not in time.
  Answer request(const std::string& method, const std::string& target, const std::string& body = "");
  // The answer's JSON. Error: its detail, where the answer is a problem (usage for 4xx, retry for 503 and
  // 429).
  nlohmann::ordered_json json(const std::string& method, const std::string& target,
                              const std::string& body = "");

 private:
  ServerAddress address_;
  std::string host_, port_;
  double timeout_s_;
};

}  // namespace saemill::net
