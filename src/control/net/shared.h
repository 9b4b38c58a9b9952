// What the connections of one server share. Private to this folder. All of it belongs to the loop's thread,
// but for the counters.
#pragma once

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/thread_pool.hpp>
#include <memory>
#include <set>

#include "control/api/dispatch.h"
#include "control/net/guard.h"
#include "control/net/server.h"

namespace saemill::net {

namespace asio = boost::asio;
using tcp = asio::ip::tcp;

// A live client, as the server sees it.
class LiveConnection {
 public:
  virtual ~LiveConnection() = default;
  virtual void close(uint16_t code) = 0;           // soon, with this close code
  virtual const std::string& session() const = 0;  // empty: it came with the token
};

struct Shared {
  Shared(ServerOptions given, api::Services& its_services)
      : options(std::move(given)),
        services(its_services),
        requests_of_peer(options.limits.requests),
        requests_of_known(options.limits.requests) {}

  ServerOptions options;
  api::Services& services;
  GuardRules rules;
  RateLimit requests_of_peer, requests_of_known;  // by address; by token or session
  RateLimit logged_refusals{{20, 1000}};          // strangers must not fill the disk
  int64_t unlogged_refusals = 0;
  int64_t sending = 0;  // files
  asio::io_context loop{1};
  asio::thread_pool pool{4};
  std::set<LiveConnection*> live;
  std::atomic<int64_t> connections = 0, websockets = 0, requests = 0, refused = 0, slow = 0;
};

// One TCP connection until its end. Never throws.
asio::awaitable<void> serve_connection(Shared& shared, tcp::socket socket, std::string peer);

// A line in the log for each refusal: who, what, why; no header's value but what the reason quotes, no query.
void log_refusal(Shared& shared, const std::string& peer, const std::string& method,
                 const std::string& target, int status, const std::string& code, const std::string& detail);

}  // namespace saemill::net
