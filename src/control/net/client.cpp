#include "control/net/client.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>

#include "common/base/error.h"

namespace saemill::net {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using asio::use_awaitable;

constexpr uint64_t kMostBytes = uint64_t{64} << 20;

http::request<http::string_body> make_request(const std::string& method, const std::string& target,
                                              const std::string& body, const std::string& host,
                                              const std::string& token) {
  http::request<http::string_body> request;
  request.version(11);
  request.method_string(method);
  request.target(target);
  request.set(http::field::host, host);
  request.set(http::field::user_agent, "saemill");
  request.set(http::field::connection, "close");
  if (!token.empty()) request.set(http::field::authorization, "Bearer " + token);
  if (!body.empty()) {
    request.set(http::field::content_type, "application/json");
    request.body() = body;
  }
  request.prepare_payload();
  return request;
}

asio::awaitable<Answer> exchange(std::string host, std::string port, http::request<http::string_body> request,
                                 double timeout_s) {
  const auto executor = co_await asio::this_coro::executor;
  asio::ip::tcp::resolver resolver(executor);
  beast::tcp_stream stream(executor);
  stream.expires_after(std::chrono::milliseconds(static_cast<int64_t>(timeout_s * 1e3)));
  const auto endpoints = co_await resolver.async_resolve(host, port, use_awaitable);
  co_await stream.async_connect(endpoints, use_awaitable);
  co_await http::async_write(stream, request, use_awaitable);
  beast::flat_buffer buffer;
  http::response_parser<http::string_body> parser;
  parser.body_limit(kMostBytes);
  co_await http::async_read(stream, buffer, parser, use_awaitable);
  co_return Answer{static_cast<int>(parser.get().result_int()), std::move(parser.get().body())};
}

}  // namespace

Client::Client(ServerAddress address, double timeout_s)
    : address_(std::move(address)), timeout_s_(timeout_s) {
  constexpr std::string_view kScheme = "http://";
  std::string rest = address_.url;
  if (!rest.starts_with(kScheme))
    fail(ErrorCode::usage, "the server's address is \"{}\"; accepted: http://HOST:PORT", address_.url);
  rest.erase(0, kScheme.size());
  while (rest.ends_with('/')) rest.pop_back();
  const size_t colon = rest.rfind(':');
  const bool has_port = colon != std::string::npos && rest.find(']', colon) == std::string::npos;
  host_ = rest.substr(0, has_port ? colon : rest.size());
  port_ = has_port ? rest.substr(colon + 1) : "80";
  if (host_.starts_with('[') && host_.ends_with(']')) host_ = host_.substr(1, host_.size() - 2);
  if (host_.empty() || rest.find_first_of("/?#@ ") != std::string::npos)
    fail(ErrorCode::usage, "the server's address is \"{}\"; accepted: http://HOST:PORT", address_.url);
}

Answer Client::request(const std::string& method, const std::string& target, const std::string& body) {
  asio::io_context loop{1};
  const std::string host = address_.url.substr(address_.url.find("//") + 2);
  auto answer = asio::co_spawn(
      loop, exchange(host_, port_, make_request(method, target, body, host, address_.token), timeout_s_),
      asio::use_future);
  loop.run();
  try {
    return answer.get();
  } catch (const boost::system::system_error& error) {
    fail(ErrorCode::retry, "no answer from {}: {}", address_.url, error.code().message());
  }
}

nlohmann::ordered_json Client::json(const std::string& method, const std::string& target,
                                    const std::string& body) {
  const Answer answer = request(method, target, body);
  auto json = nlohmann::ordered_json::parse(answer.body, nullptr, /*allow_exceptions=*/false);
  if (!answer.ok()) {
    const auto code = answer.status == 503 || answer.status == 429 ? ErrorCode::retry : ErrorCode::usage;
    const std::string detail = json.is_object() ? json.value("detail", std::string()) : std::string();
    fail(code, "{} answers {}{}{}", address_.url, answer.status, detail.empty() ? "" : ": ", detail);
  }
  if (!answer.body.empty() && json.is_discarded())
    fail(ErrorCode::retry, "{} answers something that is no JSON", address_.url);
  return json;
}

}  // namespace saemill::net
