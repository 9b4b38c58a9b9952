// Channels without sockets: order, catching up, ticks, and what a client may say.
#include <gtest/gtest.h>

#include <algorithm>
#include <thread>

#include "control/api/live_client.h"

namespace saemill::api {
namespace {

struct Listener : Subscriber {
  void deliver(const MessagePtr& message) override { got.push_back(message); }
  std::vector<int64_t> seqs() const {
    std::vector<int64_t> all;
    for (const auto& message : got)
      if (!message->tick) all.push_back(message->seq);
    return all;
  }
  std::vector<MessagePtr> got;
};

class HubTest : public ::testing::Test {
 protected:
  int wakes_ = 0;
  Hub hub_{[this] { ++wakes_; }};
  std::shared_ptr<Listener> listener_ = std::make_shared<Listener>();
};

TEST_F(HubTest, EventsArriveInOrderAndAreSerializedOnce) {
  hub_.open("a");
  const auto other = std::make_shared<Listener>();
  hub_.subscribe(listener_, "a", std::nullopt);
  hub_.subscribe(other, "a", std::nullopt);
  EXPECT_EQ(hub_.publish("a", "x", {{"n", 1}}), 1);
  EXPECT_EQ(hub_.publish("a", "x", {{"n", 2}}), 2);
  EXPECT_EQ(wakes_, 2);
  hub_.distribute();
  EXPECT_EQ(listener_->seqs(), (std::vector<int64_t>{1, 2}));
  EXPECT_EQ(listener_->got[0], other->got[0]);
  EXPECT_EQ(listener_->got[0]->text, R"({"channel":"a","event":"x","seq":1,"data":{"n":1}})");
}

TEST_F(HubTest, NobodyPublishesToAChannelThatIsNotOpen) {
  EXPECT_EQ(hub_.publish("nowhere", "x", 1), 0);
  EXPECT_FALSE(hub_.subscribe(listener_, "nowhere", std::nullopt).exists);
}

TEST_F(HubTest, SinceGivesWhatWasMissedAndNothingTwice) {
  hub_.open("a");
  for (int i = 0; i < 5; ++i) hub_.publish("a", "x", i);  // distributed after the subscription
  const auto found = hub_.subscribe(listener_, "a", 2);
  EXPECT_EQ(found.seq, 5);
  EXPECT_FALSE(found.reset);
  ASSERT_EQ(found.missed.size(), 3u);
  EXPECT_EQ(found.missed[0]->seq, 3);
  hub_.publish("a", "x", 5);
  hub_.distribute();
  EXPECT_EQ(listener_->seqs(), (std::vector<int64_t>{6}));
}

TEST_F(HubTest, SinceThatIsTooOldOrOfAnotherBootIsReset) {
  hub_.open("a");
  for (size_t i = 0; i < Hub::kKept + 10; ++i) hub_.publish("a", "x", i);
  EXPECT_TRUE(hub_.subscribe(listener_, "a", 5).reset);
  EXPECT_FALSE(hub_.subscribe(listener_, "a", 10).reset);  // the oldest that is kept is 11
  EXPECT_TRUE(hub_.subscribe(listener_, "a", 1'000'000).reset);
  EXPECT_FALSE(hub_.subscribe(listener_, "a", std::nullopt).reset);
}

TEST_F(HubTest, ASeqFromOutsideAscendsAndMayHaveGaps) {
  hub_.open("a", 10);
  EXPECT_FALSE(hub_.publish_at("a", 10, "x", 1));
  EXPECT_TRUE(hub_.publish_at("a", 12, "x", 1));
  EXPECT_TRUE(hub_.publish_at("a", 20, "x", 1));
  EXPECT_FALSE(hub_.publish_at("a", 20, "x", 1));
  EXPECT_FALSE(hub_.publish_at("nowhere", 1, "x", 1));
  EXPECT_TRUE(hub_.subscribe(listener_, "a", 9).reset);  // the channel began behind 10
  for (const auto& [since, missed] : std::map<int64_t, size_t>{{10, 2}, {11, 2}, {12, 1}, {15, 1}, {20, 0}}) {
    const auto found = hub_.subscribe(listener_, "a", since);
    EXPECT_FALSE(found.reset) << since;
    EXPECT_EQ(found.missed.size(), missed) << since;
    EXPECT_EQ(found.seq, 20);
  }
  EXPECT_TRUE(hub_.subscribe(listener_, "a", 21).reset);
}

TEST_F(HubTest, WithGapsTheLastThatIsNotKeptDecides) {
  hub_.open("a");
  const auto kept = static_cast<int64_t>(Hub::kKept);
  for (int64_t i = 1; i <= kept + 1; ++i) hub_.publish_at("a", 10 * i, "x", i);
  EXPECT_TRUE(hub_.subscribe(listener_, "a", 9).reset);
  EXPECT_FALSE(hub_.subscribe(listener_, "a", 10).reset);
  EXPECT_EQ(hub_.subscribe(listener_, "a", 10).missed.size(), Hub::kKept);
}

TEST_F(HubTest, AForgottenChannelKeepsItsSeqAndItsTicks) {
  hub_.open("a");
  hub_.publish("a", "x", 1), hub_.publish("a", "x", 2);
  hub_.tick("a", "state", 3);
  hub_.forget("a");
  hub_.forget("nowhere");
  const auto found = hub_.subscribe(listener_, "a", 1);
  EXPECT_TRUE(found.reset);
  EXPECT_EQ(found.seq, 2);
  EXPECT_EQ(found.missed.size(), 1u);
  EXPECT_FALSE(hub_.subscribe(listener_, "a", 2).reset);
  EXPECT_EQ(hub_.publish("a", "x", 4), 3);
  EXPECT_EQ(hub_.subscribe(listener_, "a", 2).missed.size(), 2u);
}

TEST_F(HubTest, TicksOfSeveralSlotsStandBesideEachOther) {
  hub_.open("a");
  hub_.tick("a", "state", 1), hub_.tick("a", "warning", 2, "warnings"), hub_.tick("a", "state", 3);
  const auto found = hub_.subscribe(listener_, "a", std::nullopt);
  ASSERT_EQ(found.missed.size(), 2u);
  EXPECT_NE(found.missed[0]->text.find("warning"), std::string::npos);
  EXPECT_NE(found.missed[1]->text.find("\"data\":3"), std::string::npos);
  Outbox outbox;
  for (const MessagePtr& one : found.missed) outbox.add(one);
  for (const MessagePtr& one : found.missed) outbox.add(one);
  EXPECT_EQ(outbox.take().size(), 2u);
}

TEST_F(HubTest, ALateListenerGetsTheLastTick) {
  hub_.open("a");
  hub_.tick("a", "system:metrics", 1);
  hub_.tick("a", "system:metrics", 2);
  hub_.distribute();
  const auto found = hub_.subscribe(listener_, "a", std::nullopt);
  ASSERT_EQ(found.missed.size(), 1u);
  EXPECT_EQ(found.missed[0]->text, R"({"channel":"a","event":"system:metrics","seq":0,"data":2})");
}

TEST_F(HubTest, WhoLeavesHearsNothingMore) {
  hub_.open("a"), hub_.open("b");
  hub_.subscribe(listener_, "a", std::nullopt);
  hub_.subscribe(listener_, "b", std::nullopt);
  hub_.unsubscribe(listener_, "a");
  hub_.publish("a", "x", 1), hub_.publish("b", "x", 1);
  hub_.distribute();
  EXPECT_EQ(listener_->got.size(), 1u);
  hub_.leave(listener_);
  hub_.publish("b", "x", 2);
  hub_.distribute();
  EXPECT_EQ(listener_->got.size(), 1u);
}

TEST_F(HubTest, ItKnowsWhichChannelsAreHeard) {
  hub_.open("a"), hub_.open("b"), hub_.open("c");
  const auto other = std::make_shared<Listener>();
  hub_.subscribe(listener_, "a", std::nullopt);
  hub_.subscribe(other, "a", std::nullopt);
  hub_.subscribe(other, "b", std::nullopt);
  const auto heard = [this] {
    auto names = hub_.heard();
    std::sort(names.begin(), names.end());
    return names;
  };
  EXPECT_EQ(heard(), (std::vector<std::string>{"a", "b"}));
  hub_.unsubscribe(listener_, "a");
  EXPECT_EQ(heard(), (std::vector<std::string>{"a", "b"}));
  hub_.close("b");
  EXPECT_EQ(heard(), (std::vector<std::string>{"a"}));
  hub_.leave(other);
  EXPECT_TRUE(heard().empty());
}

TEST_F(HubTest, AChannelThatIsOpenedAgainBringsNothingOfTheOldOne) {
  hub_.open("a");
  hub_.subscribe(listener_, "a", std::nullopt);
  hub_.publish("a", "x", 1);
  hub_.close("a");
  hub_.open("a", 10);
  hub_.subscribe(listener_, "a", std::nullopt);
  hub_.publish("a", "x", 2);
  hub_.distribute();
  EXPECT_EQ(listener_->seqs(), (std::vector<int64_t>{11}));
}

TEST_F(HubTest, PublishersOfManyThreadsLoseNothing) {
  hub_.open("a");
  std::atomic<bool> woken = false;
  Hub hub([&] { woken = true; });
  hub.open("a");
  hub.subscribe(listener_, "a", std::nullopt);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < 500; ++i) hub.publish("a", "x", i);
    });
  while (listener_->got.size() < 2000) {
    if (woken.exchange(false)) hub.distribute();
  }
  for (auto& thread : threads) thread.join();
  const auto seqs = listener_->seqs();
  for (size_t i = 0; i < seqs.size(); ++i) ASSERT_EQ(seqs[i], static_cast<int64_t>(i) + 1);
}

MessagePtr message(const std::string& channel, int64_t seq, bool tick, size_t size = 10) {
  return std::make_shared<const Message>(Message{channel, seq, tick, std::string(size, 'x')});
}

TEST(Outbox, ATickGivesWayToItsSuccessorAndEventsDoNot) {
  Outbox outbox;
  outbox.add(message("a", 1, true));
  outbox.add(message("a", 1, false));
  outbox.add(message("b", 2, true));
  outbox.add(message("a", 3, true));
  const auto frame = outbox.take();
  ASSERT_EQ(frame.size(), 3u);
  EXPECT_FALSE(frame[0]->tick);
  EXPECT_EQ(frame[1]->channel, "b");
  EXPECT_EQ(frame[2]->seq, 3);
  EXPECT_TRUE(outbox.empty());
}

TEST(Outbox, FramesAreBounded) {
  Outbox outbox;
  for (int i = 0; i < 3; ++i) outbox.add(message("a", i, false, Outbox::kFrameBytes / 2));
  outbox.add(message("a", 3, false, 2 * Outbox::kFrameBytes));
  EXPECT_EQ(outbox.take().size(), 2u);
  EXPECT_EQ(outbox.take().size(), 1u);
  EXPECT_EQ(outbox.take().size(), 1u);  // too large for a frame, and still sent
}

TEST(Outbox, KnowsWhoIsTooFarBehind) {
  Outbox outbox;
  for (int i = 0; i < 9; ++i) outbox.add(message("a", i, false, size_t{1} << 20));
  EXPECT_TRUE(outbox.too_far_behind());
  outbox.clear();
  EXPECT_FALSE(outbox.too_far_behind());
  for (int i = 0; i < 9; ++i) outbox.add(message("a", i, true, size_t{1} << 20));
  EXPECT_FALSE(outbox.too_far_behind());  // ticks replace each other
}

class Dialogue : public HubTest {
 protected:
  void SetUp() override {
    hub_.open("system/gpus");
    client_ = std::make_shared<LiveClient>(hub_, [] {});
  }
  Json said() {
    Json all = Json::array();
    for (const auto& one : client_->outbox().take()) all.push_back(Json::parse(one->text));
    return all;
  }
  std::shared_ptr<LiveClient> client_;
};

TEST_F(Dialogue, HelloSubscribeUnsubscribe) {
  client_->hello({.server_id = "s", .boot = "b", .version = "1", .host = "h", .database = "d"});
  client_->receive(R"({"op":"subscribe","channel":"system/gpus"})");
  hub_.publish("system/gpus", "gpu:state", 1);
  hub_.distribute();
  const Json first = said();
  EXPECT_EQ(first[0], Json::parse(R"({"event":"hello","data":{"server_id":"s","boot":"b","version":"1"}})"));
  EXPECT_EQ(first[1],
            Json::parse(R"({"channel":"system/gpus","event":"subscribed","seq":0,"data":{"seq":0}})"));
  EXPECT_EQ(first[2]["event"], "gpu:state");
  client_->receive(R"({"op":"unsubscribe","channel":"system/gpus"})");
  hub_.publish("system/gpus", "gpu:state", 2);
  hub_.distribute();
  EXPECT_TRUE(said().empty());
  client_->receive(R"({"op":"subscribe","channel":"system/gpus","since":1})");
  const Json again = said();
  ASSERT_EQ(again.size(), 2u);
  EXPECT_EQ(again[1]["seq"], 2);
  client_->receive(R"({"op":"subscribe","channel":"system/gpus","since":77})");
  EXPECT_EQ(said()[1]["event"], "reset");
  client_->leave();
}

TEST_F(Dialogue, WhateverAClientSaysGetsAClearError) {
  const std::vector<std::pair<std::string, std::string>> table = {
      {"", "invalid_message"},
      {"\xff\xfe", "invalid_message"},
      {"[]", "invalid_message"},
      {"{}", "invalid_message"},
      {R"({"op":"subscribe"})", "invalid_message"},
      {R"({"op":"subscribe","channel":7})", "invalid_message"},
      {R"({"op":"shout","channel":"system/gpus"})", "invalid_message"},
      {R"({"op":"subscribe","channel":"system/gpus","since":-1})", "invalid_message"},
      {R"({"op":"subscribe","channel":"system/gpus","since":"2"})", "invalid_message"},
      {R"({"op":"subscribe","channel":"system/gpus","since":18446744073709551615})", "invalid_message"},
      {R"({"op":"subscribe","channel":"trainings/../x"})", "no_such_channel"},
  };
  for (const auto& [text, code] : table) {
    client_->receive(text);
    const Json answer = said();
    ASSERT_EQ(answer.size(), 1u) << text;
    EXPECT_EQ(answer[0]["event"], "error") << text;
    EXPECT_EQ(answer[0]["data"]["code"], code) << text;
  }
  client_->leave();
}

TEST_F(Dialogue, AClientHasABoundedNumberOfChannels) {
  for (size_t i = 0; i <= LiveClient::kMostChannels; ++i) {
    hub_.open("c" + std::to_string(i));
    client_->receive(R"({"op":"subscribe","channel":"c)" + std::to_string(i) + "\"}");
  }
  const Json answers = said();
  EXPECT_EQ(answers[LiveClient::kMostChannels - 1]["event"], "subscribed");
  EXPECT_EQ(answers[LiveClient::kMostChannels]["data"]["code"], "too_many_channels");
  client_->leave();
}

}  // namespace
}  // namespace saemill::api
