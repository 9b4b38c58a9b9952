// Live channels: who publishes, who listens, and what a late listener has missed. Knows no sockets.
//
//   publishers (any thread) -> publish/tick -> [wake] -> distribute (the loop's thread) ->
//   Subscriber::deliver
//
// A message is serialized once, for all. Ticks are the state of now: only the last one counts. Events are
// never dropped: the last kKept of a channel are kept, so that a client which comes back with `since` gets
// what it missed, or `reset`.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "control/api/http.h"

namespace saemill::api {

struct Message {
  std::string channel;
  int64_t seq = 0;
  bool tick = false;
  std::string text;  // {channel, event, seq, data}
};
using MessagePtr = std::shared_ptr<const Message>;

class Subscriber {
 public:
  virtual ~Subscriber() = default;
  virtual void deliver(const MessagePtr& message) = 0;  // on the loop's thread; must not block
};

class Hub {
 public:
  // `wake` is called on a publisher's thread after there is something to distribute; it must make the loop's
  // thread call distribute() soon.
  explicit Hub(std::function<void()> wake);

  // --- any thread
  void open(const std::string& channel, int64_t last_seq = 0);  // nothing, if it is open
  void close(const std::string& channel);
  bool is_open(const std::string& channel) const;
  int64_t publish(const std::string& channel, const char* event,
                  const Json& data);  // its seq; 0: no such channel
  void tick(const std::string& channel, const char* event, const Json& data);

  // --- the loop's thread
  struct Subscribed {
    bool exists = false;
    int64_t seq = 0;                 // of the channel's last event
    bool reset = false;              // `since` is too old, or from another boot: read REST again
    std::vector<MessagePtr> missed;  // events after `since`; and the last tick
  };
  Subscribed subscribe(const std::shared_ptr<Subscriber>& subscriber, const std::string& channel,
                       std::optional<int64_t> since);
  void unsubscribe(const std::shared_ptr<Subscriber>& subscriber, const std::string& channel);
  void leave(const std::shared_ptr<Subscriber>& subscriber);
  void distribute();

  static constexpr size_t kKept = 2000;  // events of a channel
  static constexpr size_t kKeptBytes = size_t{4} << 20;

 private:
  struct Channel;
  std::function<void()> wake_;
  mutable std::mutex mutex_;
  std::map<std::string, std::shared_ptr<Channel>> channels_;
  std::deque<std::pair<std::shared_ptr<Channel>, MessagePtr>> outgoing_;
};

}  // namespace saemill::api
