// HTTP and WebSocket over TCP: takes requests apart, guards them, hands them to api::dispatch, and keeps live
// clients. Knows no endpoint.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "control/api/services.h"
#include "control/net/rate_limit.h"

namespace saemill::net {

struct Limits {
  size_t header = 8192;               // bytes of a request's head
  size_t message = size_t{64} << 10;  // bytes of a client's WebSocket message
  int64_t connections = 4096;
  int64_t slow_requests = 64;  // waiting for the pool; more are told to come back
  int64_t downloads = 64;      // files that are being sent; more are told to come back
  double request_s = 20;  // from the first byte awaited to the last of the head, and the same for the body
  double write_s = 30;    // until an answer is taken, or a chunk of a file
  double idle_s = 60;     // a WebSocket without a sign of life
  double behind_s = 10;   // that a client too far behind gets to take its close frame
  Rate requests = {};     // of one token or session; of all strangers of one address
  Rate messages = {50, 100};  // of one WebSocket
};

struct ServerOptions {
  std::string address = "127.0.0.1";  // an IP address
  uint16_t port = 8750;               // 0: any free one
  std::vector<std::string>
      hosts;                  // names that people come by, beside localhost, 127.0.0.1, [::1] and the address
  bool behind_proxy = false;  // a proxy speaks TLS: cookies are Secure, peers are told by X-Forwarded-For
  Limits limits = {};
};

class Server {
 public:
  // Listens. Error{usage}: no such address, or it is taken; a reachable address without behind_proxy.
  Server(ServerOptions options, api::Services& services);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  std::string url() const;  // "http://127.0.0.1:8750"

  // Until stop(). Closes live clients with 1001. False: a slow request was still under way.
  bool run();

  // Any thread.
  void stop();
  void wake();  // for api::Hub
  api::NetStatus status() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace saemill::net
