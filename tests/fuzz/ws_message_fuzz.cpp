// What a client of /ws says, between what others publish: a byte for what happens next, then what it needs.
// Every frame that the client would get is checked for what a page relies on.
#include <map>

#include "control/api/live_client.h"
#include "tests/fuzz/fuzz_tools.h"

namespace {

using namespace saemill;
using namespace saemill::fuzz;
using api::LiveClient;
using api::Outbox;

constexpr int kChannels = 5;
constexpr int64_t kFarSeq = INT64_MAX / 2;

std::string name(int i) {
  return "c" + std::to_string(i);
}

// What a page knows of a channel from what it was sent.
struct Heard {
  int64_t subscribed_at = 0;
  int64_t last = -1;  // event since then; -1: none yet
};

class Page {
 public:
  void read(const api::Message& message) {
    const Json json = Json::parse(message.text, nullptr, false);
    check(json.is_object() && json.contains("event") && json.contains("data"), "a frame of another form");
    if (!json.contains("channel")) return;  // hello, error
    const std::string channel = json.at("channel").get<std::string>(), event = json.at("event");
    const int64_t seq = json.at("seq");
    if (event == "subscribed") {
      heard_[channel] = {seq, -1};
      return;
    }
    check(heard_.contains(channel), "a message of a channel that was not subscribed to");
    Heard& heard = heard_[channel];
    if (event != "said") return;
    // None twice, none left out, whether it was missed before or comes now.
    check(heard.last < 0 ? seq <= heard.subscribed_at + 1 : seq == heard.last + 1, "events out of order");
    heard.last = seq;
  }
  int64_t last(const std::string& channel) const {
    const auto found = heard_.find(channel);
    return found == heard_.end() ? 0 : std::max<int64_t>(found->second.last, 0);
  }

 private:
  std::map<std::string, Heard> heard_;
};

class Talk {
 public:
  explicit Talk(Input input) : input_(input) {
    for (int i = 0; i < kChannels; ++i) hub_.open(name(i), i == 0 ? kFarSeq : 0);
    come();
  }
  ~Talk() { client_->leave(); }
  Talk(const Talk&) = delete;
  Talk& operator=(const Talk&) = delete;

  void run() {
    while (!input_.empty()) {
      step();
      if (client_->outbox().too_far_behind()) come_again();  // as the WebSocket does
    }
    hub_.distribute();
    while (!client_->outbox().empty()) take();
  }

 private:
  void come() {
    client_ = std::make_shared<LiveClient>(hub_, [] {});
    page_ = Page();
    client_->hello({"server", "boot", "0.1.0", "here", 0, ""});
  }
  // One step adds at most what a channel keeps.
  void come_again() {
    size_t waiting = 0;
    while (!client_->outbox().empty()) waiting += take();
    check(waiting <= Outbox::kMostBytes + 2 * api::Hub::kKeptBytes, "more waits than a client may leave");
    client_->leave();
    come();
  }

  std::string channel() { return name(input_.byte() % (kChannels + 1)); }  // the last one is not there

  void subscribe() {
    const std::string channel_name = channel();
    Json message{{"op", "subscribe"}, {"channel", channel_name}};
    const uint8_t since = input_.byte();
    if (since == 1) message["since"] = page_.last(channel_name);
    if (since == 2) message["since"] = kFarSeq + input_.byte();
    if (since > 2) message["since"] = since - 3;
    client_->receive(message.dump());
  }

  // Many equal bytes, which need not be UTF-8, cost an input little.
  Json said() {
    const size_t size = input_.byte(), large = input_.byte() >= 250 ? 256 : 1;
    return {{"text", std::string(size * large, static_cast<char>(input_.byte()))}};
  }

  void step() {
    switch (input_.byte() % 10) {
      case 0:
        return client_->receive(input_.text());
      case 1:
        return subscribe();
      case 2:
        return client_->receive(Json{{"op", "unsubscribe"}, {"channel", channel()}}.dump());
      case 3:
        hub_.publish(channel(), "said", said());
        return;
      case 4:
        return hub_.tick(channel(), "now", said());
      case 5:
        return hub_.distribute();
      case 6:
        if (!client_->outbox().empty()) take();
        return;
      case 7:
        return hub_.close(channel());
      case 8:
        return hub_.open(name(input_.byte() % kChannels), kFarSeq);
      default:
        return come_again();
    }
  }

  size_t take() {
    size_t size = 0;
    const auto frame = client_->outbox().take();
    check(!frame.empty(), "an empty frame");
    for (const api::MessagePtr& message : frame) {
      page_.read(*message);
      size += message->text.size();
    }
    check(frame.size() == 1 || size <= Outbox::kFrameBytes, "a frame that is too large");
    return size;
  }

  Input input_;
  api::Hub hub_{[] {}};
  std::shared_ptr<LiveClient> client_;
  Page page_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Talk(Input(data, size)).run();
  return 0;
}
