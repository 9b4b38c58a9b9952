#include "control/api/hub.h"

#include <algorithm>

namespace saemill::api {

struct Hub::Channel {
  std::string name;
  // Guarded by the hub's mutex.
  int64_t seq = 0;
  int64_t gone = 0;            // the highest seq that is not kept: who knows it has missed nothing
  std::list<MessagePtr> kept;  // an empty one takes no memory: most channels are quiet
  size_t kept_bytes = 0;
  std::vector<MessagePtr> last_ticks;  // one of each slot
  // Of the loop's thread alone. `seen`: events up to this one were handed over at the subscription.
  struct Listener {
    std::shared_ptr<Subscriber> subscriber;
    int64_t seen = 0;
  };
  std::vector<Listener> listeners;

  void remove(const std::shared_ptr<Subscriber>& subscriber) {
    std::erase_if(listeners, [&](const Listener& one) { return one.subscriber == subscriber; });
  }
};

namespace {

std::string serialize(const std::string& channel, const char* event, int64_t seq, const Json& data) {
  const Json json{{"channel", channel}, {"event", event}, {"seq", seq}, {"data", data}};
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace

Hub::Hub(std::function<void()> wake) : wake_(std::move(wake)) {}

void Hub::open(const std::string& channel, int64_t last_seq) {
  const std::lock_guard lock(mutex_);
  auto& slot = channels_[channel];
  if (slot) return;
  slot = std::make_shared<Channel>();
  slot->name = channel;
  slot->seq = slot->gone = last_seq;
}

void Hub::close(const std::string& channel) {
  const std::lock_guard lock(mutex_);
  const auto found = channels_.find(channel);
  if (found == channels_.end()) return;
  heard_.erase(found->second);
  channels_.erase(found);
}

bool Hub::is_open(const std::string& channel) const {
  const std::lock_guard lock(mutex_);
  return channels_.contains(channel);
}

std::vector<std::string> Hub::heard() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> names;
  for (const auto& channel : heard_) names.push_back(channel->name);
  return names;
}

void Hub::remove(const std::shared_ptr<Channel>& channel, const std::shared_ptr<Subscriber>& subscriber) {
  channel->remove(subscriber);
  if (channel->listeners.empty()) heard_.erase(channel);
}

void Hub::add(const std::shared_ptr<Channel>& channel, int64_t seq, const char* event, const Json& data) {
  Channel& at = *channel;
  at.seq = seq;
  const auto message =
      std::make_shared<const Message>(Message{at.name, seq, false, serialize(at.name, event, seq, data)});
  at.kept.push_back(message);
  at.kept_bytes += message->text.size();
  while (at.kept.size() > kKept || (at.kept_bytes > kKeptBytes && at.kept.size() > 1)) {
    at.gone = at.kept.front()->seq;
    at.kept_bytes -= at.kept.front()->text.size();
    at.kept.pop_front();
  }
  outgoing_.emplace_back(channel, message);
}

int64_t Hub::publish(const std::string& channel, const char* event, const Json& data) {
  int64_t seq = 0;
  {
    const std::lock_guard lock(mutex_);
    const auto found = channels_.find(channel);
    if (found == channels_.end()) return 0;
    seq = found->second->seq + 1;
    add(found->second, seq, event, data);
  }
  wake_();
  return seq;
}

bool Hub::publish_at(const std::string& channel, int64_t seq, const char* event, const Json& data) {
  {
    const std::lock_guard lock(mutex_);
    const auto found = channels_.find(channel);
    if (found == channels_.end() || seq <= found->second->seq) return false;
    add(found->second, seq, event, data);
  }
  wake_();
  return true;
}

void Hub::tick(const std::string& channel, const char* event, const Json& data, const char* slot) {
  {
    const std::lock_guard lock(mutex_);
    const auto found = channels_.find(channel);
    if (found == channels_.end()) return;
    Channel& at = *found->second;
    const auto message = std::make_shared<const Message>(
        Message{channel, at.seq, true, serialize(channel, event, at.seq, data), slot});
    std::erase_if(at.last_ticks, [&](const MessagePtr& older) { return older->slot == slot; });
    at.last_ticks.push_back(message);
    outgoing_.emplace_back(found->second, message);
  }
  wake_();
}

void Hub::forget(const std::string& channel) {
  const std::lock_guard lock(mutex_);
  const auto found = channels_.find(channel);
  if (found == channels_.end()) return;
  Channel& at = *found->second;
  at.gone = at.seq;
  at.kept.clear();
  at.kept_bytes = 0;
}

Hub::Subscribed Hub::subscribe(const std::shared_ptr<Subscriber>& subscriber, const std::string& channel,
                               std::optional<int64_t> since) {
  unsubscribe(subscriber, channel);
  const std::lock_guard lock(mutex_);
  const auto found = channels_.find(channel);
  if (found == channels_.end()) return {};
  Channel& at = *found->second;
  Subscribed answer{.exists = true, .seq = at.seq, .reset = false, .missed = {}};
  if (since) {
    answer.reset = *since > at.seq || *since < at.gone;
    if (!answer.reset)
      std::copy_if(at.kept.begin(), at.kept.end(), std::back_inserter(answer.missed),
                   [&](const MessagePtr& message) { return message->seq > *since; });
  }
  answer.missed.insert(answer.missed.end(), at.last_ticks.begin(), at.last_ticks.end());
  at.listeners.push_back({subscriber, at.seq});
  heard_.insert(found->second);
  return answer;
}

void Hub::unsubscribe(const std::shared_ptr<Subscriber>& subscriber, const std::string& channel) {
  const std::lock_guard lock(mutex_);
  if (const auto found = channels_.find(channel); found != channels_.end()) remove(found->second, subscriber);
  // Of a channel that was closed, and perhaps opened again, events may still be on their way.
  for (const auto& [at, message] : outgoing_)
    if (at->name == channel) remove(at, subscriber);
}

void Hub::leave(const std::shared_ptr<Subscriber>& subscriber) {
  const std::lock_guard lock(mutex_);
  for (const auto& channel : std::vector(heard_.begin(), heard_.end())) remove(channel, subscriber);
  for (const auto& [channel, message] : outgoing_) remove(channel, subscriber);
}

void Hub::distribute() {
  std::deque<std::pair<std::shared_ptr<Channel>, MessagePtr>> outgoing;
  {
    const std::lock_guard lock(mutex_);
    outgoing.swap(outgoing_);
  }
  for (const auto& [channel, message] : outgoing) {
    // A copy: whoever is delivered to may leave.
    const std::vector<Channel::Listener> listeners = channel->listeners;
    for (const auto& [subscriber, seen] : listeners)
      if (message->tick || message->seq > seen) subscriber->deliver(message);
  }
}

}  // namespace saemill::api
