// Live channels: who publishes, who listens, and what a late listener has missed. Knows no sockets.
//
//   publishers (any thread) -> publish/tick -> [wake] -> distribute (the loop's thread) ->
//   Subscriber::deliver
//
// A message is serialized once, for all. Ticks are the state of now: only the last one counts. Events are
// never dropped: the last kKept of a channel are kept, so that a client which comes back with `since` gets
// what it missed, or `reset`. seq ascends within a channel: counted here (publish), or given from outside
// (publish_at), and then with gaps.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "control/api/http.h"

namespace saemill::api {

struct Message {
  std::string channel;
  int64_t seq = 0;
  bool tick = false;
  std::string text;       // {channel, event, seq, data}
  std::string slot = "";  // of a tick: it takes the place of the last one with this slot
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
  // Nothing, if it is open. `last_seq`: of what was published before, which is not kept here.
  void open(const std::string& channel, int64_t last_seq = 0);
  void close(const std::string& channel);
  bool is_open(const std::string& channel) const;
  std::vector<std::string> heard() const;  // the channels that somebody listens to
  int64_t publish(const std::string& channel, const char* event,
                  const Json& data);  // its seq; 0: no such channel
  // With a seq from outside. False, and nothing published: the channel is not open, or has that seq behind
  // it.
  bool publish_at(const std::string& channel, int64_t seq, const char* event, const Json& data);
  // Of each slot the last one counts, and is given to who subscribes.
  void tick(const std::string& channel, const char* event, const Json& data, const char* slot = "");
  // Drops the events that it keeps, but neither its seq nor its ticks: for channels that have gone quiet. Who
  // comes back with an older seq is told `reset`.
  void forget(const std::string& channel);

  // --- the loop's thread
  struct Subscribed {
    bool exists = false;
    int64_t seq = 0;                 // of the channel's last event
    bool reset = false;              // `since` is too old, or from another boot: read REST again
    std::vector<MessagePtr> missed;  // events after `since`; and the last ticks
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
  void remove(const std::shared_ptr<Channel>& channel, const std::shared_ptr<Subscriber>& subscriber);
  void add(const std::shared_ptr<Channel>& channel, int64_t seq, const char* event, const Json& data);

  std::function<void()> wake_;
  mutable std::mutex mutex_;
  std::map<std::string, std::shared_ptr<Channel>> channels_;
  std::set<std::shared_ptr<Channel>> heard_;  // those with listeners: few of many
  std::deque<std::pair<std::shared_ptr<Channel>, MessagePtr>> outgoing_;
};

}  // namespace saemill::api
