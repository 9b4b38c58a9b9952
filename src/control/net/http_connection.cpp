// One HTTP connection: read the head, guard it, read the body, answer, again.
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/websocket/rfc6455.hpp>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "control/net/file_sender.h"
#include "control/net/upgrade.h"

namespace saemill::net {
namespace {

namespace beast = boost::beast;
namespace http = beast::http;
using api::HttpResponse;
using api::Problem;
using boost::system::error_code;
using Parser = http::request_parser<http::string_body>;
using Request = http::request<http::string_body>;

std::chrono::steady_clock::duration seconds(double value) {
  return std::chrono::duration_cast<std::chrono::steady_clock::duration>(
      std::chrono::duration<double>(value));
}

struct Connection {
  Shared& shared;
  beast::tcp_stream stream;
  std::string peer;
  beast::flat_buffer buffer;
  bool keep_alive = true;
};

std::string text_of(const Request& request, std::string_view name) {
  const auto value = request[beast::string_view(name.data(), name.size())];
  return {value.data(), value.size()};
}

std::string method_of(const Request& request) {
  return {request.method_string().data(), request.method_string().size()};
}

std::string target_of(const Request& request) {
  return {request.target().data(), request.target().size()};
}

Head head_of(const Request& request) {
  return {method_of(request),
          target_of(request),
          text_of(request, "Host"),
          text_of(request, "Origin"),
          text_of(request, "Authorization"),
          text_of(request, "Cookie"),
          text_of(request, "Sec-Fetch-Site"),
          beast::websocket::is_upgrade(request)};
}

// What two readers of the same bytes could understand differently.
std::optional<Problem> check_ambiguity(const Request& request) {
  for (const char* name :
       {"Host", "Origin", "Authorization", "Cookie", "Content-Length", "Sec-Fetch-Site", "Range", "If-Range"})
    if (request.count(name) > 1)
      return Problem(400, "bad_request", fmt::format("the header {} is there twice", name));
  if (text_of(request, "Content-Length").find(',') != std::string::npos)
    return Problem(400, "bad_request", "Content-Length is a list; accepted: one number");
  if (request.count("Transfer-Encoding") > 0)
    return Problem(411, "length_required", "Transfer-Encoding is not accepted; send a Content-Length");
  return std::nullopt;
}

// Behind a proxy the last address of X-Forwarded-For is the one that the proxy saw.
std::string peer_of(const Connection& connection, const Request& request) {
  if (!connection.shared.options.behind_proxy) return connection.peer;
  std::string chain = text_of(request, "X-Forwarded-For");
  const size_t comma = chain.rfind(',');
  if (comma != std::string::npos) chain.erase(0, comma + 1);
  while (chain.starts_with(' ')) chain.erase(0, 1);
  return chain.empty() ? connection.peer : chain.substr(0, 64);
}

// Of somebody whom the guard let in.
std::string identity_of(const Connection& connection, const Request& request) {
  if (bearer_token(text_of(request, "Authorization"))) return "token";
  return connection.shared.services.auth->session_in(text_of(request, "Cookie"));
}

void add_headers(http::response<http::string_body>& message, const HttpResponse& answer, bool secure) {
  if (!answer.content_type.empty()) message.set(http::field::content_type, answer.content_type);
  for (const auto& [name, value] : answer.headers)
    message.insert(name, name == "Set-Cookie" && secure ? value + "; Secure" : value);
  message.set(
      "Content-Security-Policy",
      "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'");
  message.set("X-Content-Type-Options", "nosniff");
  message.set("Referrer-Policy", "no-referrer");
  message.set("Cross-Origin-Opener-Policy", "same-origin");
  message.set("Cross-Origin-Resource-Policy", "same-origin");
  // With an ETag it may be kept, but must be asked for again.
  message.set(http::field::cache_control, message.count(http::field::etag) > 0 ? "no-cache" : "no-store");
}

// Its deadline is each chunk's own: a file may take as long as it likes, while somebody takes it.
asio::awaitable<bool> write_file(Connection& connection, const api::FileBody& body) {
  const WriteChunk write_chunk = [&connection](asio::const_buffer chunk) -> asio::awaitable<bool> {
    connection.stream.expires_after(seconds(connection.shared.options.limits.write_s));
    error_code error;
    co_await asio::async_write(connection.stream, chunk, asio::redirect_error(asio::use_awaitable, error));
    co_return !error;
  };
  const bool sent = co_await send_file(connection.shared, body, write_chunk);
  co_return sent;
}

asio::awaitable<void> write(Connection& connection, HttpResponse answer, bool head_only) {
  http::response<http::string_body> message;
  message.version(11);
  message.result(static_cast<unsigned>(answer.status));
  add_headers(message, answer, connection.shared.options.behind_proxy);
  message.keep_alive(connection.keep_alive);
  const size_t length = answer.file ? static_cast<size_t>(answer.file->length) : answer.body.size();
  if (!head_only) message.body() = std::move(answer.body);
  if (answer.status != 204 && answer.status != 304) message.content_length(length);
  connection.stream.expires_after(seconds(connection.shared.options.limits.write_s));
  error_code error;
  http::response_serializer<http::string_body> serializer(message);
  if (head_only || answer.file) {
    co_await http::async_write_header(connection.stream, serializer,
                                      asio::redirect_error(asio::use_awaitable, error));
  } else {
    co_await http::async_write(connection.stream, serializer,
                               asio::redirect_error(asio::use_awaitable, error));
  }
  bool sent = !error;
  if (sent && answer.file && !head_only) sent = co_await write_file(connection, *answer.file);
  if (!sent) connection.keep_alive = false;
}

// A close with unread bytes would be a reset, which can overtake the answer.
asio::awaitable<void> close_gently(Connection& connection) {
  constexpr size_t kMostDrained = size_t{2} << 20;
  error_code error;
  connection.stream.socket().shutdown(tcp::socket::shutdown_send, error);
  connection.stream.expires_after(std::chrono::seconds(1));
  std::array<char, 16384> rest;
  for (size_t drained = 0; !error && drained < kMostDrained;)
    drained += co_await connection.stream.async_read_some(asio::buffer(rest),
                                                          asio::redirect_error(asio::use_awaitable, error));
  connection.stream.close();
}

asio::awaitable<void> refuse(Connection& connection, const Request& request, const Problem& problem) {
  log_refusal(connection.shared, peer_of(connection, request), method_of(request), target_of(request),
              problem.status(), problem.code(), problem.what());
  connection.keep_alive = false;
  co_await write(connection, api::problem_response(problem), request.method() == http::verb::head);
}

// What is wrong with bytes that are no request.
std::optional<Problem> problem_of(const error_code& error) {
  if (error == http::error::header_limit || error == http::error::buffer_overflow)
    return Problem(431, "too_large", "the head of the request is larger than 8192 bytes");
  if (error == http::error::body_limit)
    return Problem(413, "too_large", fmt::format("the body is larger than {} bytes", api::kMaxBody));
  if (error.category() == make_error_code(http::error::bad_method).category() &&
      error != http::error::end_of_stream && error != http::error::partial_message)
    return Problem(400, "bad_request", "this is no HTTP request: " + error.message());
  return std::nullopt;  // gone, or too slow: nobody would read an answer
}

HttpResponse come_back(const char* why) {
  Problem busy(503, "unavailable", why);
  busy.headers.emplace_back("Retry-After", "1");
  return api::problem_response(busy);
}

asio::awaitable<HttpResponse> answer(Connection& connection, const Request& request, api::Route::Work work) {
  api::HttpRequest asked{.method = request.method() == http::verb::head ? "GET" : method_of(request),
                         .target = target_of(request),
                         .content_type = text_of(request, "Content-Type"),
                         .idempotency_key = text_of(request, "Idempotency-Key"),
                         .if_none_match = text_of(request, "If-None-Match"),
                         .range = text_of(request, "Range"),
                         .if_range = text_of(request, "If-Range"),
                         .session = connection.shared.services.auth->session_in(text_of(request, "Cookie")),
                         .body = request.body(),
                         .head_only = request.method() == http::verb::head};
  Shared& shared = connection.shared;
  if (work == api::Route::Work::quick) co_return api::dispatch(shared.services, asked);
  if (shared.slow >= shared.options.limits.slow_requests)
    co_return come_back("too many requests wait for the store");
  ++shared.slow;
  const auto on_pool = [&shared, &asked]() -> asio::awaitable<HttpResponse> {
    co_return api::dispatch(shared.services, asked);
  };
  HttpResponse response = co_await asio::co_spawn(shared.pool, on_pool, asio::use_awaitable);
  --shared.slow;
  co_return response;
}

// Those of 4xx that say who may not, are worth a line; a wrong parameter is the asker's own business.
bool is_refusal(int status) {
  return status == 401 || status == 403 || status == 413 || status == 429;
}

// Of a head that may go on.
asio::awaitable<void> serve_request(Connection& connection, Parser& parser,
                                    const api::Disposition& disposition) {
  error_code error;
  if (beast::iequals(parser.get()["Expect"], "100-continue")) {
    const std::string_view go_on = "HTTP/1.1 100 Continue\r\n\r\n";
    co_await asio::async_write(connection.stream, asio::buffer(go_on),
                               asio::redirect_error(asio::use_awaitable, error));
  }
  connection.stream.expires_after(seconds(connection.shared.options.limits.request_s));
  co_await http::async_read(connection.stream, connection.buffer, parser,
                            asio::redirect_error(asio::use_awaitable, error));
  if (error) {
    if (const auto problem = problem_of(error)) {
      co_await refuse(connection, parser.get(), *problem);
    } else {
      connection.keep_alive = false;
    }
    co_return;
  }
  const Request& request = parser.get();
  connection.keep_alive = request.keep_alive();
  ++connection.shared.requests;
  HttpResponse response = co_await answer(connection, request, disposition.work);
  if (is_refusal(response.status))
    log_refusal(connection.shared, peer_of(connection, request), method_of(request), target_of(request),
                response.status, "by the endpoint", "");
  std::optional<Sending> sending;
  const bool head_only = request.method() == http::verb::head;
  if (response.file && !head_only) {
    const bool full = connection.shared.sending >= connection.shared.options.limits.downloads;
    if (full) response = come_back("too many files are being sent");
    if (!full) sending.emplace(connection.shared);
  }
  co_await write(connection, std::move(response), head_only);
}

// The problem of a head, if there is one.
std::optional<Problem> check_head(Connection& connection, const Parser& parser,
                                  const api::Disposition& disposition) {
  Shared& shared = connection.shared;
  const Request& request = parser.get();
  auto refusal = check_ambiguity(request);
  if (!refusal) refusal = guard(shared.rules, head_of(request), disposition.access, *shared.services.auth);
  // Whoever is known has a share of their own: strangers on the same address cannot use it up.
  const bool known = !refusal && disposition.access != api::Route::Access::open;
  RateLimit& limit = known ? shared.requests_of_known : shared.requests_of_peer;
  if (!limit.allow(known ? identity_of(connection, request) : peer_of(connection, request),
                   monotonic_seconds())) {
    Problem problem(429, "too_many_requests",
                    fmt::format("more than {} requests a second", shared.options.limits.requests.per_second));
    problem.headers.emplace_back("Retry-After", "1");
    return problem;
  }
  if (refusal) return refusal;
  if (parser.content_length().value_or(0) > api::kMaxBody)
    return Problem(
        413, "too_large",
        fmt::format("the body is {} bytes; accepted: at most {}", *parser.content_length(), api::kMaxBody));
  return std::nullopt;
}

asio::awaitable<bool> upgrade(Connection& connection, Parser& parser) {
  const Request& request = parser.get();
  if (target_of(request) != "/ws") co_return false;
  if (!beast::websocket::is_upgrade(request)) {
    Problem problem(426, "upgrade_required", "/ws speaks WebSocket");
    problem.headers.emplace_back("Upgrade", "websocket");
    co_await refuse(connection, request, problem);
    co_return true;
  }
  http::request<http::empty_body> head;
  head.base() = request.base();
  const bool by_token = bearer_token(text_of(request, "Authorization")).has_value();
  std::string session =
      by_token ? "" : connection.shared.services.auth->session_in(text_of(request, "Cookie"));
  std::string peer = peer_of(connection, request);
  connection.keep_alive = false;
  co_await serve_websocket(connection.shared, std::move(connection.stream), std::move(head),
                           std::move(session), std::move(peer));
  co_return true;
}

asio::awaitable<void> serve_next(Connection& connection) {
  const Limits& limits = connection.shared.options.limits;
  Parser parser;
  parser.header_limit(static_cast<uint32_t>(limits.header));
  parser.body_limit(api::kMaxBody);
  connection.stream.expires_after(seconds(limits.request_s));
  error_code error;
  co_await http::async_read_header(connection.stream, connection.buffer, parser,
                                   asio::redirect_error(asio::use_awaitable, error));
  if (error) {
    if (const auto problem = problem_of(error)) co_await refuse(connection, parser.get(), *problem);
    connection.keep_alive = false;
    co_return;
  }
  // /ws is no row of the route table: whoever may ask for anything may listen.
  auto disposition = api::disposition(
      parser.get().method() == http::verb::head ? "GET" : method_of(parser.get()), target_of(parser.get()));
  if (target_of(parser.get()) == "/ws") disposition.access = api::Route::Access::signed_in;
  if (const auto problem = check_head(connection, parser, disposition)) {
    co_await refuse(connection, parser.get(), *problem);
    co_return;
  }
  const bool upgraded = co_await upgrade(connection, parser);
  if (!upgraded) co_await serve_request(connection, parser, disposition);
}

}  // namespace

asio::awaitable<void> serve_connection(Shared& shared, tcp::socket socket, std::string peer) {
  ++shared.connections;
  try {
    Connection connection{shared, beast::tcp_stream(std::move(socket)), std::move(peer), {}, true};
    while (connection.keep_alive) co_await serve_next(connection);
    if (connection.stream.socket().is_open()) co_await close_gently(connection);
  } catch (const std::exception& error) {
    log_line(LogLevel::error, fmt::format("a connection failed: {}", error.what()));
  }
  --shared.connections;
}

}  // namespace saemill::net
