// One client of /ws, without its socket: what it may say, what it subscribed to, and what waits for it.
//   client: {op: "subscribe", channel, since?} | {op: "unsubscribe", channel}
//   server: hello, subscribed, reset, error, and the messages of the channels
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <string_view>

#include "control/api/outbox.h"
#include "control/api/services.h"

namespace saemill::api {

// Lives on the loop's thread.
class LiveClient : public Subscriber, public std::enable_shared_from_this<LiveClient> {
 public:
  // `ready` is called when there is something to send.
  LiveClient(Hub& hub, std::function<void()> ready);

  void hello(const ServerInfo& info);
  void receive(std::string_view text);  // one message of the client, whatever it holds
  void deliver(const MessagePtr& message) override;
  void leave();  // ends all subscriptions; `ready` is not called any more

  Outbox& outbox() { return outbox_; }
  static constexpr size_t kMostChannels = 200;

 private:
  void subscribe(const std::string& channel, std::optional<int64_t> since);
  void say(const Json& message);
  void refuse(const char* code, const std::string& message);

  Hub& hub_;
  std::function<void()> ready_;
  Outbox outbox_;
  std::set<std::string> channels_;
};

}  // namespace saemill::api
