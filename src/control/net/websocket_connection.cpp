// One live client over its socket: a reader and a writer on the loop's thread.
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/websocket.hpp>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "control/api/live_client.h"
#include "control/net/upgrade.h"

namespace saemill::net {
namespace {

namespace beast = boost::beast;
namespace websocket = beast::websocket;
using boost::system::error_code;

std::chrono::steady_clock::duration seconds(double value) {
  return std::chrono::duration_cast<std::chrono::steady_clock::duration>(
      std::chrono::duration<double>(value));
}

// Said by the client what no client may say; not merely gone.
bool is_protocol_error(const error_code& error) {
  return error.category() == make_error_code(websocket::error::closed).category() &&
         error != websocket::error::closed;
}

class WebSocket : public LiveConnection, public std::enable_shared_from_this<WebSocket> {
 public:
  WebSocket(Shared& shared, beast::tcp_stream stream, std::string session, std::string peer)
      : shared_(shared),
        stream_(std::move(stream)),
        session_(std::move(session)),
        peer_(std::move(peer)),
        signal_(shared.loop, asio::steady_timer::time_point::max()),
        patience_(shared.loop),
        messages_(shared.options.limits.messages),
        client_(std::make_shared<api::LiveClient>(*shared.services.hub, [this] { on_ready(); })) {}

  void close(uint16_t code) override {
    if (close_code_ != 0) return;
    close_code_ = code;
    client_->outbox().clear();
    signal_.cancel();
    // The close frame waits for the frame that is being written. A client that does not take that gets none.
    patience_.expires_after(seconds(shared_.options.limits.behind_s));
    patience_.async_wait([self = shared_from_this()](error_code error) {
      if (!error) beast::get_lowest_layer(self->stream_).close();
    });
  }
  const std::string& session() const override { return session_; }

  asio::awaitable<void> run(boost::beast::http::request<boost::beast::http::empty_body> request) {
    const auto self = shared_from_this();
    beast::get_lowest_layer(stream_).expires_never();
    const Limits& limits = shared_.options.limits;
    websocket::stream_base::timeout timeout{std::chrono::seconds(10), seconds(limits.idle_s), true};
    stream_.set_option(timeout);
    stream_.read_message_max(limits.message);
    stream_.text(true);
    error_code error;
    co_await stream_.async_accept(request, asio::redirect_error(asio::use_awaitable, error));
    if (error) {
      if (is_protocol_error(error)) {
        const int status = error == websocket::error::bad_sec_version ? 426 : 400;
        log_refusal(shared_, peer_, "GET", "/ws", status, "bad_upgrade", error.message());
      }
      co_return;
    }
    shared_.live.insert(this);
    ++shared_.websockets;
    client_->hello(shared_.services.info);
    asio::co_spawn(shared_.loop, write_all(self), asio::detached);
    co_await read_all();
    shared_.live.erase(this);
    --shared_.websockets;
    client_->leave();
    patience_.cancel();
    gone_ = true;
    signal_.cancel();
  }

 private:
  void on_ready() {
    if (client_->outbox().too_far_behind() && close_code_ == 0) {
      log_refusal(shared_, peer_, "GET", "/ws", 1013, "too_far_behind",
                  fmt::format("{} bytes wait for a client that does not read", api::Outbox::kMostBytes));
      close(1013);
    }
    signal_.cancel();
  }

  asio::awaitable<void> read_all() {
    beast::flat_buffer buffer;
    error_code error;
    while (true) {
      co_await stream_.async_read(buffer, asio::redirect_error(asio::use_awaitable, error));
      if (error) break;
      if (!messages_.allow("", monotonic_seconds())) {
        if (close_code_ == 0)
          log_refusal(shared_, peer_, "GET", "/ws", 1008, "too_many_messages", "a flood of messages");
        close(1008);
      } else if (close_code_ == 0) {
        client_->receive({static_cast<const char*>(buffer.data().data()), buffer.size()});
      }
      buffer.consume(buffer.size());
    }
    if (error == websocket::error::message_too_big) {
      log_refusal(shared_, peer_, "GET", "/ws", 1009, "too_large", "a message larger than the limit");
    } else if (is_protocol_error(error)) {
      const int code = error == websocket::error::bad_frame_payload ? 1007 : 1002;
      log_refusal(shared_, peer_, "GET", "/ws", code, "bad_frame", error.message());
    }
  }

  asio::awaitable<void> write_all(std::shared_ptr<WebSocket> self) {
    error_code error;
    while (!gone_ && !error) {
      if (close_code_ != 0) {
        co_await stream_.async_close(websocket::close_reason(close_code_),
                                     asio::redirect_error(asio::use_awaitable, error));
        co_return;
      }
      if (client_->outbox().empty()) {
        error_code woken;
        signal_.expires_at(asio::steady_timer::time_point::max());
        co_await signal_.async_wait(asio::redirect_error(asio::use_awaitable, woken));
        continue;
      }
      const auto frame = client_->outbox().take();
      co_await stream_.async_write(buffers_of(frame), asio::redirect_error(asio::use_awaitable, error));
    }
    if (error) beast::get_lowest_layer(self->stream_).close();  // the reader finds out
  }

  // One message as it is; several as an array. No bytes are copied.
  static std::vector<asio::const_buffer> buffers_of(const std::vector<api::MessagePtr>& frame) {
    if (frame.size() == 1) return {asio::buffer(frame[0]->text)};
    static constexpr std::string_view kOpen = "[", kComma = ",", kEnd = "]";
    std::vector<asio::const_buffer> buffers;
    buffers.reserve(2 * frame.size() + 1);
    for (const auto& message : frame) {
      buffers.push_back(asio::buffer(buffers.empty() ? kOpen : kComma));
      buffers.push_back(asio::buffer(message->text));
    }
    buffers.push_back(asio::buffer(kEnd));
    return buffers;
  }

  Shared& shared_;
  websocket::stream<beast::tcp_stream, /*deflate=*/false> stream_;
  std::string session_, peer_;
  asio::steady_timer signal_, patience_;
  RateLimit messages_;
  std::shared_ptr<api::LiveClient> client_;
  uint16_t close_code_ = 0;  // not 0: to be closed with it
  bool gone_ = false;
};

}  // namespace

asio::awaitable<void> serve_websocket(Shared& shared, beast::tcp_stream stream,
                                      beast::http::request<beast::http::empty_body> request,
                                      std::string session, std::string peer) {
  const auto socket =
      std::make_shared<WebSocket>(shared, std::move(stream), std::move(session), std::move(peer));
  co_await socket->run(std::move(request));
}

}  // namespace saemill::net
