#include "control/net/client.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>

namespace saemill::net {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using asio::use_awaitable;

constexpr uint64_t kMostBytes = uint64_t{64} << 20;
constexpr size_t kPiece = 1 << 20;             // of a download
constexpr size_t kMostOfARefusal = 256 << 10;  // bytes that are read of it

using Request = http::request<http::string_body>;

Request make_request(const std::string& method, const std::string& target, const std::string& body,
                     const ServerAddress& address, const Headers& headers) {
  Request request;
  request.version(11);
  request.method_string(method);
  request.target(target);
  request.set(http::field::host, address.url.substr(address.url.find("//") + 2));
  request.set(http::field::user_agent, "saemill");
  request.set(http::field::connection, "close");
  if (!address.token.empty()) request.set(http::field::authorization, "Bearer " + address.token);
  for (const auto& [name, value] : headers) request.set(name, value);
  if (!body.empty()) {
    request.set(http::field::content_type, "application/json");
    request.body() = body;
  }
  request.prepare_payload();
  return request;
}

std::chrono::milliseconds milliseconds(double seconds) {
  return std::chrono::milliseconds(static_cast<int64_t>(seconds * 1e3));
}

asio::awaitable<void> send(beast::tcp_stream& stream, const std::string& host, const std::string& port,
                           Request& request, double timeout_s) {
  asio::ip::tcp::resolver resolver(stream.get_executor());
  stream.expires_after(milliseconds(timeout_s));
  const auto endpoints = co_await resolver.async_resolve(host, port, use_awaitable);
  co_await stream.async_connect(endpoints, use_awaitable);
  co_await http::async_write(stream, request, use_awaitable);
}

template <typename Message>
Answer head_of(const Message& message) {
  Answer answer;
  answer.status = static_cast<int>(message.result_int());
  for (const auto& field : message) answer.headers.emplace_back(field.name_string(), field.value());
  return answer;
}

asio::awaitable<Answer> exchange(std::string host, std::string port, Request request, double timeout_s) {
  beast::tcp_stream stream(co_await asio::this_coro::executor);
  co_await send(stream, host, port, request, timeout_s);
  beast::flat_buffer buffer;
  http::response_parser<http::string_body> parser;
  parser.body_limit(kMostBytes);
  parser.skip(request.method() == http::verb::head);
  co_await http::async_read(stream, buffer, parser, use_awaitable);
  Answer answer = head_of(parser.get());
  answer.body = std::move(parser.get().body());
  co_return answer;
}

// The body goes to `take`, but for a refusal's, which is in the answer.
asio::awaitable<Answer> receive(std::string host, std::string port, Request request, double timeout_s,
                                std::function<bool(const Answer&)> is_wanted,
                                std::function<void(std::string_view)> take) {
  beast::tcp_stream stream(co_await asio::this_coro::executor);
  co_await send(stream, host, port, request, timeout_s);
  beast::flat_buffer buffer;
  http::response_parser<http::buffer_body> parser;
  parser.body_limit(boost::none);
  co_await http::async_read_header(stream, buffer, parser, use_awaitable);
  Answer answer = head_of(parser.get());
  const bool wanted = is_wanted(answer);
  std::string piece(kPiece, '\0');
  while (!parser.is_done()) {
    auto& body = parser.get().body();
    body.data = piece.data(), body.size = piece.size();
    stream.expires_after(milliseconds(timeout_s));
    boost::system::error_code error;
    co_await http::async_read_some(stream, buffer, parser, asio::redirect_error(use_awaitable, error));
    const std::string_view bytes(piece.data(), piece.size() - body.size);
    if (wanted) {
      take(bytes);  // also what came before it broke off
    } else if (answer.body.append(bytes).size() > kMostOfARefusal) {
      break;
    }
    if (error && error != http::error::need_buffer) throw boost::system::system_error(error);
  }
  co_return answer;
}

Answer wait_for(asio::awaitable<Answer> work, const std::string& url) {
  asio::io_context loop{1};
  auto answer = asio::co_spawn(loop, std::move(work), asio::use_future);
  loop.run();
  try {
    return answer.get();
  } catch (const boost::system::system_error& error) {
    fail(ErrorCode::retry, "no answer from {}: {}", url, error.code().message());
  }
}

ErrorCode code_of(int status, const std::string& code) {
  if (status == 422 && code == "invalid_config") return ErrorCode::bad_config;
  if (status == 503 || status == 429) return ErrorCode::retry;
  return status >= 500 ? ErrorCode::internal : ErrorCode::usage;
}

nlohmann::ordered_json parsed(const std::string& text) {
  return nlohmann::ordered_json::parse(text, nullptr, /*allow_exceptions=*/false);
}

std::string member_of(const Answer& answer, const char* name) {
  const auto json = parsed(answer.body);
  const bool there = json.is_object() && json.contains(name) && json[name].is_string();
  return there ? json[name].get<std::string>() : "";
}

std::string message_of(const std::string& url, const Answer& answer) {
  const std::string detail = member_of(answer, "detail");
  return fmt::format("{} answers {}{}{}", url, answer.status, detail.empty() ? "" : ": ", detail);
}

}  // namespace

std::string Answer::header(std::string_view name) const {
  for (const auto& [key, value] : headers)
    if (beast::iequals(key, name)) return value;
  return "";
}

AnswerError::AnswerError(const std::string& url, const Answer& answer)
    : Error(code_of(answer.status, member_of(answer, "code")), message_of(url, answer)),
      status_(answer.status),
      code_(member_of(answer, "code")),
      problem_(member_of(answer, "detail")) {}

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

Answer Client::request(const std::string& method, const std::string& target, const std::string& body,
                       const Headers& headers) {
  return wait_for(exchange(host_, port_, make_request(method, target, body, address_, headers), timeout_s_),
                  address_.url);
}

nlohmann::ordered_json Client::json(const std::string& method, const std::string& target,
                                    const std::string& body, const Headers& headers) {
  const Answer answer = request(method, target, body, headers);
  if (!answer.ok()) throw AnswerError(address_.url, answer);
  if (answer.body.empty()) return nullptr;
  auto json = parsed(answer.body);
  if (json.is_discarded()) fail(ErrorCode::retry, "{} answers something that is no JSON", address_.url);
  return json;
}

void Client::download(const std::string& target, int64_t offset, const std::string& etag,
                      const std::function<void(std::string_view)>& take) {
  Headers headers;
  if (offset > 0) headers = {{"Range", fmt::format("bytes={}-", offset)}, {"If-Range", etag}};
  const int wanted_status = offset > 0 ? 206 : 200;
  const auto is_wanted = [&](const Answer& answer) {
    if (!answer.ok()) return false;
    // The whole file instead of its rest: it is another one.
    if (answer.status != wanted_status || answer.header("ETag") != etag)
      fail(ErrorCode::retry, "{}{} has changed; again", address_.url, target);
    return true;
  };
  const Answer answer = wait_for(
      receive(host_, port_, make_request("GET", target, "", address_, headers), timeout_s_, is_wanted, take),
      address_.url);
  if (!answer.ok()) throw AnswerError(address_.url, answer);
}

}  // namespace saemill::net
