#include "control/api/live_client.h"

#include <fmt/format.h>

#include "control/api/problem.h"

namespace saemill::api {
namespace {

constexpr const char* kAccepted =
    R"({"op": "subscribe", "channel": "...", "since"?: n} or {"op": "unsubscribe", "channel": "..."})";

std::string text_of(const Json& json, const char* name) {
  const auto found = json.find(name);
  return found != json.end() && found->is_string() ? found->get<std::string>() : "";
}

}  // namespace

LiveClient::LiveClient(Hub& hub, std::function<void()> ready) : hub_(hub), ready_(std::move(ready)) {}

void LiveClient::say(const Json& message) {
  auto text = message.dump(-1, ' ', false, Json::error_handler_t::replace);
  outbox_.add(std::make_shared<const Message>(Message{"", 0, false, std::move(text)}));
  if (ready_) ready_();
}

void LiveClient::refuse(const char* code, const std::string& message) {
  say({{"event", "error"}, {"data", {{"code", code}, {"message", message}}}});
}

void LiveClient::hello(const ServerInfo& info) {
  say({{"event", "hello"},
       {"data", {{"server_id", info.server_id}, {"boot", info.boot}, {"version", info.version}}}});
}

void LiveClient::receive(std::string_view text) {
  Json json;
  try {
    json = parse_json(text);
  } catch (const Problem&) {
    // null, and told below
  }
  if (!json.is_object())
    return refuse("invalid_message", fmt::format("no JSON object; accepted: {}", kAccepted));
  const std::string op = text_of(json, "op"), channel = text_of(json, "channel");
  if (channel.empty()) return refuse("invalid_message", fmt::format("no channel; accepted: {}", kAccepted));
  if (op == "unsubscribe") {
    hub_.unsubscribe(shared_from_this(), channel);
    channels_.erase(channel);
    return;
  }
  if (op != "subscribe")
    return refuse("invalid_message", fmt::format("op is \"{}\"; accepted: {}", op.substr(0, 40), kAccepted));
  std::optional<int64_t> since;
  if (const auto found = json.find("since"); found != json.end() && !found->is_null()) {
    const bool fits =
        found->is_number_unsigned() && found->get<uint64_t>() <= static_cast<uint64_t>(INT64_MAX);
    if (!fits)
      return refuse("invalid_message",
                    fmt::format("since is {}; accepted: a seq of this channel",
                                found->dump(-1, ' ', false, Json::error_handler_t::replace).substr(0, 40)));
    since = found->get<int64_t>();
  }
  subscribe(channel, since);
}

void LiveClient::subscribe(const std::string& channel, std::optional<int64_t> since) {
  if (!channels_.contains(channel) && channels_.size() >= kMostChannels)
    return refuse("too_many_channels",
                  fmt::format("a client subscribes to at most {} channels", kMostChannels));
  const auto found = hub_.subscribe(shared_from_this(), channel, since);
  if (!found.exists)
    return refuse("no_such_channel", fmt::format("there is no channel {}", channel.substr(0, 100)));
  channels_.insert(channel);
  say({{"channel", channel}, {"event", "subscribed"}, {"seq", found.seq}, {"data", {{"seq", found.seq}}}});
  if (found.reset)
    say({{"channel", channel}, {"event", "reset"}, {"seq", found.seq}, {"data", Json::object()}});
  for (const MessagePtr& message : found.missed) outbox_.add(message);
}

void LiveClient::deliver(const MessagePtr& message) {
  outbox_.add(message);
  if (ready_) ready_();
}

void LiveClient::leave() {
  ready_ = nullptr;
  hub_.leave(shared_from_this());
}

}  // namespace saemill::api
