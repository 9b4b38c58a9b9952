#include "load_clients.h"

#include <fcntl.h>
#include <sys/epoll.h>

#include <algorithm>
#include <charconv>
#include <memory>
#include <thread>
#include <vector>

#include "common/base/clock.h"
#include "tests/raw_http.h"

namespace saemill {
namespace {

using Json = nlohmann::ordered_json;
using testing_tools::RawConnection;

Json percentiles(std::vector<float>& values) {
  if (values.empty()) return nullptr;
  std::sort(values.begin(), values.end());
  const auto at = [&](double share) {
    return values[static_cast<size_t>(share * static_cast<double>(values.size() - 1))];
  };
  return {{"p50", at(0.5)}, {"p99", at(0.99)}, {"max", values.back()}};
}

struct Totals {
  int64_t ticks = 0, events = 0, lost = 0, out_of_order = 0, closed = 0;
  std::vector<float> event_ms;
};

// The number after `name` in a message of ours; messages are not parsed, so that clients are not what is
// measured.
template <typename Number>
Number number_after(std::string_view text, std::string_view name) {
  Number value{};
  const size_t at = text.find(name);
  if (at != std::string_view::npos)
    std::from_chars(text.data() + at + name.size(), text.data() + text.size(), value);
  return value;
}

class Client {
 public:
  Client(const LoadOptions& options, Totals& totals)
      : connection_(options.port),
        totals_(totals),
        channel_("\"channel\":\"" + options.events_channel + "\"") {
    if (connection_.upgrade("Authorization: Bearer " + options.token + "\r\n").status != 101)
      throw std::runtime_error("no upgrade");
    connection_.say(R"({"op":"subscribe","channel":"system/gpus"})");
    connection_.say(R"({"op":"subscribe","channel":")" + options.events_channel + "\"}");
    ::fcntl(connection_.fd(), F_SETFL, O_NONBLOCK);
  }
  int fd() const { return connection_.fd(); }

  // What has come. False: the server closed.
  bool read(double now) {
    char bytes[65536];
    ssize_t n;
    while ((n = ::recv(fd(), bytes, sizeof bytes, 0)) > 0) buffer_.append(bytes, static_cast<size_t>(n));
    const bool open = n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
    size_t begin = 0;
    while (const size_t size = frame(begin, now)) begin += size;
    buffer_.erase(0, begin);
    return open;
  }

 private:
  // The size of the whole frame that begins there; 0: it is not all there yet.
  size_t frame(size_t begin, double now) {
    const auto byte = [&](size_t at) {
      return static_cast<uint64_t>(static_cast<unsigned char>(buffer_[begin + at]));
    };
    const size_t have = buffer_.size() - begin;
    if (have < 2) return 0;
    const size_t more = (byte(1) & 0x7f) == 126 ? 2 : (byte(1) & 0x7f) == 127 ? 8 : 0;
    if (have < 2 + more) return 0;
    uint64_t size = more == 0 ? byte(1) & 0x7f : 0;
    for (size_t i = 0; i < more; ++i) size = size << 8 | byte(2 + i);
    if (have < 2 + more + size) return 0;
    message(std::string_view(buffer_).substr(begin + 2 + more, size), now);
    return 2 + more + size;
  }

  void message(std::string_view text, double now) {
    // Several messages may share a frame.
    for (size_t at = text.find("\"channel\":"); at != std::string_view::npos;) {
      const size_t next = text.find("{\"channel\":", at + 1);
      const std::string_view one = text.substr(at, next == std::string_view::npos ? next : next - at);
      if (one.find("\"event\":\"system:metrics\"") != std::string_view::npos) ++totals_.ticks;
      if (one.starts_with(channel_) && one.find("\"sent\":") != std::string_view::npos) event(one, now);
      at = next == std::string_view::npos ? next : next + 1;
    }
  }

  void event(std::string_view text, double now) {
    const auto seq = number_after<int64_t>(text, "\"seq\":");
    ++totals_.events;
    if (last_seq_ != 0 && seq > last_seq_ + 1) totals_.lost += seq - last_seq_ - 1;
    if (seq <= last_seq_) ++totals_.out_of_order;
    last_seq_ = seq;
    totals_.event_ms.push_back(static_cast<float>(1e3 * (now - number_after<double>(text, "\"sent\":"))));
  }

  RawConnection connection_;
  Totals& totals_;
  std::string channel_, buffer_;
  int64_t last_seq_ = 0;
};

void listen(const LoadOptions& options, double end, Totals& totals) {
  std::vector<std::unique_ptr<Client>> clients;
  const int poller = ::epoll_create1(EPOLL_CLOEXEC);
  for (int i = 0; i < options.clients; ++i) {
    clients.push_back(std::make_unique<Client>(options, totals));
    epoll_event wanted{.events = EPOLLIN, .data = {.ptr = clients.back().get()}};
    ::epoll_ctl(poller, EPOLL_CTL_ADD, clients.back()->fd(), &wanted);
  }
  std::vector<epoll_event> ready(256);
  while (monotonic_seconds() < end) {
    const int n = ::epoll_wait(poller, ready.data(), static_cast<int>(ready.size()), 100);
    for (int i = 0; i < n; ++i) {
      auto* client = static_cast<Client*>(ready[static_cast<size_t>(i)].data.ptr);
      if (client->read(monotonic_seconds())) continue;
      ++totals.closed;
      ::epoll_ctl(poller, EPOLL_CTL_DEL, client->fd(), nullptr);
    }
  }
  ::close(poller);
}

// At a fixed rate, whether or not answers come in time: what waits counts into the latency of those behind
// it.
Json request(const LoadOptions& options, double begin, double end) {
  RawConnection connection(options.port);
  const std::string text = "GET /api/v1/system/gpus HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " +
                           options.token + "\r\n\r\n";
  std::vector<float> ms;
  int64_t failed = 0;
  for (int64_t i = 0;; ++i) {
    const double due = begin + static_cast<double>(i) / options.requests_per_second;
    if (due >= end) break;
    std::this_thread::sleep_for(std::chrono::duration<double>(std::max(0.0, due - monotonic_seconds())));
    failed += connection.ask(text).status != 200;
    ms.push_back(static_cast<float>(1e3 * (monotonic_seconds() - due)));
  }
  const auto count = ms.size();
  return {{"requests", count}, {"failed", failed}, {"request_ms", percentiles(ms)}};
}

}  // namespace

Json run_load(const LoadOptions& options) {
  const double begin = monotonic_seconds(), end = begin + options.seconds;
  Totals totals;
  Json requests;
  std::thread asking([&] { requests = request(options, begin, end); });
  listen(options, end, totals);
  asking.join();
  Json json{{"clients", options.clients},
            {"ticks", totals.ticks},
            {"events", totals.events},
            {"lost", totals.lost},
            {"out_of_order", totals.out_of_order},
            {"closed", totals.closed},
            {"event_ms", percentiles(totals.event_ms)}};
  json.update(requests);
  return json;
}

}  // namespace saemill
