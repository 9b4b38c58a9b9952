#include "control/net/server.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <thread>
#include <utility>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "control/net/shared.h"

namespace saemill::net {
namespace {

using boost::system::error_code;
using std::chrono::milliseconds;

constexpr const char* kFull =
    "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 5\r\nContent-Length: 0\r\n\r\n";

asio::awaitable<void> accept_all(Shared& shared, tcp::acceptor& acceptor) {
  while (acceptor.is_open()) {
    error_code error;
    tcp::socket socket = co_await acceptor.async_accept(asio::redirect_error(asio::use_awaitable, error));
    if (error == asio::error::operation_aborted) co_return;
    if (error) {
      // Out of descriptors, most likely: others must end first.
      asio::steady_timer pause(shared.loop, milliseconds(100));
      co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, error));
      continue;
    }
    const auto endpoint = socket.remote_endpoint(error);
    const std::string peer = error ? "unknown" : endpoint.address().to_string();
    socket.set_option(tcp::no_delay(true), error);
    if (shared.connections >= shared.options.limits.connections) {
      log_refusal(shared, peer, "", "", 503, "too_many_connections",
                  fmt::format("{} connections", shared.connections.load()));
      socket.write_some(asio::buffer(std::string_view(kFull)), error);
      continue;
    }
    asio::co_spawn(shared.loop, serve_connection(shared, std::move(socket), peer), asio::detached);
  }
}

// Sessions end while their browsers look on.
asio::awaitable<void> end_dead_sessions(Shared& shared) {
  asio::steady_timer timer(shared.loop);
  while (true) {
    timer.expires_after(milliseconds(2000));
    co_await timer.async_wait(asio::use_awaitable);
    for (LiveConnection* client : shared.live)
      if (!client->session().empty() && !shared.services.auth->session_expiry(client->session()))
        client->close(1008);
  }
}

tcp::acceptor listen(asio::io_context& loop, const ServerOptions& options) {
  error_code error;
  const auto address = asio::ip::make_address(options.address, error);
  if (error)
    fail(ErrorCode::usage, "--listen: \"{}\" is no IP address; accepted: 127.0.0.1:8750, [::1]:8750",
         options.address);
  if (!address.is_loopback() && !options.behind_proxy)
    fail(ErrorCode::usage,
         "--listen: {} can be reached from other machines, and saemill speaks no TLS; accepted: a loopback "
         "address (others come by `ssh -L`), or --behind-proxy with a proxy that speaks TLS",
         options.address);
  tcp::acceptor acceptor(loop);
  const tcp::endpoint endpoint(address, options.port);
  acceptor.open(endpoint.protocol(), error);
  if (!error) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error) acceptor.bind(endpoint, error);
  if (!error) acceptor.listen(1024, error);
  if (error)
    fail(ErrorCode::usage, "--listen: cannot listen on {}:{}: {}", options.address, options.port,
         error.message());
  return acceptor;
}

std::string bracketed(const asio::ip::address& address) {
  return address.is_v6() ? "[" + address.to_string() + "]" : address.to_string();
}

}  // namespace

struct Server::Impl {
  Impl(ServerOptions options, api::Services& services)
      : shared(std::move(options), services), acceptor(listen(shared.loop, shared.options)) {}
  Shared shared;
  tcp::acceptor acceptor;
  std::string url;
  std::atomic<bool> waking = false;
};

Server::Server(ServerOptions options, api::Services& services)
    : impl_(std::make_unique<Impl>(std::move(options), services)) {
  Shared& shared = impl_->shared;
  const auto endpoint = impl_->acceptor.local_endpoint();
  impl_->url = fmt::format("http://{}:{}", bracketed(endpoint.address()), endpoint.port());
  shared.rules.hosts = {"localhost", "127.0.0.1", "[::1]"};
  const bool another =
      !endpoint.address().is_unspecified() && !host_allowed(shared.rules, bracketed(endpoint.address()));
  if (another) shared.rules.hosts.push_back(bracketed(endpoint.address()));
  shared.rules.hosts.insert(shared.rules.hosts.end(), shared.options.hosts.begin(),
                            shared.options.hosts.end());
}

Server::~Server() {
  impl_->shared.pool.stop();
  impl_->shared.pool.join();
}

std::string Server::url() const {
  return impl_->url;
}

bool Server::run() {
  Shared& shared = impl_->shared;
  asio::co_spawn(shared.loop, accept_all(shared, impl_->acceptor), asio::detached);
  asio::co_spawn(shared.loop, end_dead_sessions(shared), asio::detached);
  shared.loop.run();
  return shared.slow == 0;
}

void Server::stop() {
  asio::post(impl_->shared.loop, [this] {
    error_code ignored;
    impl_->acceptor.close(ignored);
    for (LiveConnection* client : impl_->shared.live) client->close(1001);
    // Long enough for close frames and for answers that are being written.
    const auto patience = std::make_shared<asio::steady_timer>(impl_->shared.loop, milliseconds(300));
    patience->async_wait([this, patience](error_code) { impl_->shared.loop.stop(); });
  });
}

void Server::wake() {
  // Several publications before the loop comes to it are one.
  if (impl_->waking.exchange(true)) return;
  asio::post(impl_->shared.loop, [this] {
    impl_->waking = false;
    impl_->shared.services.hub->distribute();
  });
}

api::NetStatus Server::status() const {
  const Shared& shared = impl_->shared;
  return {shared.connections, shared.websockets, shared.requests, shared.refused};
}

void log_refusal(Shared& shared, const std::string& peer, const std::string& method,
                 const std::string& target, int status, const std::string& code, const std::string& detail) {
  ++shared.refused;
  if (!shared.logged_refusals.allow("", monotonic_seconds())) {
    ++shared.unlogged_refusals;
    return;
  }
  if (const int64_t more = std::exchange(shared.unlogged_refusals, 0); more > 0)
    log_line(LogLevel::warning, fmt::format("refused {} more than are told here", more));
  log_line(LogLevel::warning, fmt::format("refused {} {}: {} {} from {}: {}", status, code, method,
                                          target.substr(0, target.find('?')).substr(0, 200), peer, detail));
}

}  // namespace saemill::net
