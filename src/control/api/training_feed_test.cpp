// The live channels of trainings: what a client hears, and what one hears that comes back.
#include "control/api/training_feed.h"

#include <gtest/gtest.h>

#include "common/base/clock.h"

namespace saemill::api {
namespace {

struct Listener : Subscriber {
  void deliver(const MessagePtr& message) override { got.push_back(message); }
  std::vector<MessagePtr> got;
};

using Lines = std::vector<std::string>;

// "12 training:progress", "tick training:status"
Lines lines_of(const std::vector<MessagePtr>& messages) {
  Lines lines;
  for (const MessagePtr& message : messages) {
    const auto event = Json::parse(message->text).at("event").get<std::string>();
    lines.push_back((message->tick ? "tick" : std::to_string(message->seq)) + " " + event);
  }
  return lines;
}

Json data_of(const MessagePtr& message) {
  return Json::parse(message->text).at("data");
}

TrainingRow training(const std::string& id, TrainingStatus status = TrainingStatus::running,
                     int64_t events_seq = 0) {
  TrainingRow row;
  row.id = id, row.name = "run " + id, row.status = status, row.events_seq = events_seq;
  return row;
}

AppliedEvent line(int64_t seq, const std::string& event, nlohmann::json more = nlohmann::json::object()) {
  more["seq"] = seq, more["event"] = event;
  return {.seq = seq, .time_ms = 0, .attempt = 1, .event = event, .data = more};
}

AppliedEvent checkpoint(int64_t seq, int64_t step, const nlohmann::json& kept = nullptr) {
  nlohmann::json more{{"step", step},
                      {"path", "checkpoints/step-" + std::to_string(step)},
                      {"bytes", 10 * step},
                      {"time", "2026-11-21T12:00:00.000Z"}};
  if (!kept.is_null()) more["kept"] = kept;
  return line(seq, "checkpoint", more);
}

// A server: closing it and making another is a restart.
struct Server {
  Hub hub{[] {}};
  TrainingFeed feed{hub};

  Hub::Subscribed subscribe(const std::string& channel, std::optional<int64_t> since = std::nullopt) {
    return hub.subscribe(listener, channel, since);
  }
  std::vector<MessagePtr> heard() {
    hub.distribute();
    return std::exchange(listener->got, {});
  }
  std::shared_ptr<Listener> listener = std::make_shared<Listener>();
};

const auto kNone = [](const std::string&) { return std::vector<CheckpointRow>(); };
constexpr const char* kProgress = "trainings/a/progress";
constexpr const char* kCheckpoints = "trainings/a/checkpoints";

TEST(TrainingFeed, LinesKeepTheirSeq) {
  Server server;
  server.feed.open_all({training("a", TrainingStatus::running, 40)}, kNone);
  EXPECT_EQ(server.subscribe(kProgress).seq, 40);
  server.feed.on_run_event("a", line(41, "metrics", {{"step", 3}}));
  server.feed.on_run_event("a", line(42, "warning", {{"code", "slow"}}));
  const auto heard = server.heard();
  EXPECT_EQ(lines_of(heard), (Lines{"tick training:status", "41 training:progress", "42 training:warning"}));
  EXPECT_EQ(data_of(heard[1]), (Json{{"event", "metrics"}, {"seq", 41}, {"step", 3}}));
  // The same again, as after a transaction without an answer.
  server.feed.on_run_event("a", line(42, "warning"));
  EXPECT_TRUE(server.heard().empty());
}

TEST(TrainingFeed, AClientGoesOnAcrossARestart) {
  {
    Server before;
    before.feed.on_created(training("a"));
    for (int64_t seq = 1; seq <= 5; ++seq) before.feed.on_run_event("a", line(seq, "metrics"));
    EXPECT_EQ(lines_of(before.subscribe(kProgress, 3).missed),
              (Lines{"4 training:progress", "5 training:progress", "tick training:status"}));
  }
  Server after;  // two lines were written and stored meanwhile
  after.feed.open_all({training("a", TrainingStatus::running, 7)}, kNone);
  EXPECT_TRUE(after.subscribe(kProgress, 5).reset);
  EXPECT_FALSE(after.subscribe(kProgress, 7).reset);
  after.feed.on_run_event("a", line(8, "metrics"));
  const auto back = after.subscribe(kProgress, 7);
  EXPECT_FALSE(back.reset);
  EXPECT_EQ(lines_of(back.missed), (Lines{"8 training:progress", "tick training:status"}));
  EXPECT_TRUE(after.subscribe(kProgress, 9).reset);  // of another file
}

TEST(TrainingFeed, GapsAreNoReset) {
  Server server;
  server.feed.on_created(training("a"));
  server.feed.on_run_event("a", checkpoint(10, 100));
  server.feed.on_run_event("a", checkpoint(900, 200));
  for (const int64_t since : {0, 5, 10}) {
    const auto back = server.subscribe(kCheckpoints, since);
    EXPECT_FALSE(back.reset) << since;
    EXPECT_EQ(back.missed.size(), since < 10 ? 2U : 1U) << since;
  }
  EXPECT_EQ(server.subscribe(kCheckpoints).seq, 900);
}

TEST(TrainingFeed, TicksTellTheTrainingAsItIs) {
  Server server;
  server.feed.on_created(training("a", TrainingStatus::queued));
  EXPECT_EQ(lines_of(server.subscribe(kProgress).missed), Lines{"tick training:status"});
  TrainingRow row = training("a", TrainingStatus::failed);
  row.error = "out of memory";
  server.feed.on_changed(row);
  const auto failed = server.subscribe(kProgress).missed;
  EXPECT_EQ(lines_of(failed), Lines{"tick training:failed"});
  EXPECT_EQ(data_of(failed[0])["error"], "out of memory");
  EXPECT_FALSE(data_of(failed[0]).contains("config"));
  EXPECT_FALSE(data_of(failed[0]).contains("metrics"));
  server.feed.on_changed(training("a", TrainingStatus::completed));
  EXPECT_EQ(lines_of(server.subscribe(kProgress).missed), Lines{"tick training:completed"});
}

TEST(TrainingFeed, TheReadersOwnWarningDoesNotDisplaceTheState) {
  Server server;
  server.feed.on_created(training("a"));
  for (const int count : {1, 2}) server.feed.on_run_event("a", line(0, "warning", {{"count", count}}));
  const auto missed = server.subscribe(kProgress).missed;
  EXPECT_EQ(lines_of(missed), (Lines{"tick training:status", "tick training:warning"}));
  EXPECT_EQ(data_of(missed[1])["count"], 2);
}

TEST(TrainingFeed, CheckpointsComeAndGo) {
  Server server;
  const auto stored = [](const std::string& id) {
    EXPECT_EQ(id, "a");
    return std::vector<CheckpointRow>{
        {.step = 100, .name = "step-100", .bytes = 1, .time_ms = 0, .removed_at = {}},
        {.step = 150, .name = "step-150", .bytes = 1, .time_ms = 0, .removed_at = 7},
        {.step = 200, .name = "step-200", .bytes = 1, .time_ms = 0, .removed_at = {}}};
  };
  server.feed.open_all(
      {training("a", TrainingStatus::running, 20), training("done", TrainingStatus::completed, 9)}, stored);
  server.subscribe(kCheckpoints);
  server.feed.on_run_event("a", checkpoint(21, 300, {200, 300}));
  server.feed.on_run_event("a", checkpoint(22, 400));  // of a launcher that does not tell
  server.feed.on_run_event("a", checkpoint(23, 500, {"400", 500}));
  server.feed.on_run_event("a", line(24, "rewind", {{"step", 300}}));
  server.feed.on_run_event("a", line(25, "rewind", {{"step", 300}}));  // nothing left behind it
  server.feed.on_run_event("a", checkpoint(26, 400, {300, 400}));
  const auto heard = server.heard();
  ASSERT_EQ(lines_of(heard), (Lines{"21 checkpoint:created", "22 checkpoint:created", "23 checkpoint:created",
                                    "24 checkpoint:deleted", "26 checkpoint:created"}));
  EXPECT_EQ(data_of(heard[0]), (Json{{"step", 300},
                                     {"name", "step-300"},
                                     {"bytes", 3000},
                                     {"time", "2026-11-21T12:00:00.000Z"},
                                     {"deleted", {100}}}));
  EXPECT_EQ(data_of(heard[1])["deleted"], Json::array());
  EXPECT_EQ(data_of(heard[2])["deleted"], Json::array());
  EXPECT_EQ(data_of(heard[3]), (Json{{"steps", {400, 500}}}));
  EXPECT_EQ(data_of(heard[4])["deleted"], Json({200}));
}

TEST(TrainingFeed, WhatSomebodyDeletedIsATick) {
  Server server;
  server.feed.open_all({training("a")}, kNone);
  server.subscribe(kCheckpoints);
  server.feed.on_run_event("a", checkpoint(1, 10));
  server.feed.on_run_event("a", checkpoint(2, 20));
  server.feed.on_checkpoint_erased("a", 10);
  server.feed.on_checkpoint_erased("a", 20);
  const auto heard = server.heard();
  ASSERT_EQ(lines_of(heard), (Lines{"1 checkpoint:created", "2 checkpoint:created", "tick checkpoint:deleted",
                                    "tick checkpoint:deleted"}));
  EXPECT_EQ(data_of(heard[3])["steps"], Json({10, 20}));
  // One that is made again is there; who comes back later hears of the other alone.
  server.feed.on_run_event("a", checkpoint(3, 20));
  const auto missed = server.subscribe(kCheckpoints, 2).missed;
  ASSERT_EQ(lines_of(missed), (Lines{"3 checkpoint:created", "tick checkpoint:deleted"}));
  EXPECT_EQ(data_of(missed[1])["steps"], Json({10}));
}

TEST(TrainingFeed, AnEndedTrainingIsForgottenButNotItsSeq) {
  Server server;
  server.feed.on_created(training("a"));
  for (int64_t seq = 1; seq <= 5; ++seq) server.feed.on_run_event("a", line(seq, "metrics"));
  server.feed.on_run_event("a", checkpoint(6, 100));
  server.feed.on_changed(training("a", TrainingStatus::failed));
  const auto back = server.subscribe(kProgress, 3);
  EXPECT_TRUE(back.reset);
  EXPECT_EQ(back.seq, 6);
  EXPECT_EQ(lines_of(back.missed), Lines{"tick training:failed"});
  EXPECT_FALSE(server.subscribe(kProgress, 6).reset);
  // It is tried again, and still knows its checkpoints.
  server.feed.on_run_event("a", line(7, "started"));
  EXPECT_EQ(server.subscribe(kProgress, 6).missed.size(), 2U);
  server.feed.on_run_event("a", checkpoint(8, 200, {200}));
  const auto created = server.subscribe(kCheckpoints, 6).missed;
  ASSERT_EQ(created.size(), 1U);
  EXPECT_EQ(data_of(created[0])["deleted"], Json({100}));
}

TEST(TrainingFeed, AllTrainingsHaveAChannel) {
  Server server;
  server.subscribe("trainings");
  server.feed.on_created(training("a", TrainingStatus::queued));
  server.feed.on_changed(training("a"));
  EXPECT_TRUE(server.hub.is_open(kProgress));
  server.feed.on_deleted(training("a", TrainingStatus::cancelled));
  server.feed.on_changed(training("a", TrainingStatus::cancelled));
  const auto heard = server.heard();
  EXPECT_EQ(lines_of(heard),
            (Lines{"1 training:created", "2 training:status", "3 training:deleted", "4 training:status"}));
  EXPECT_EQ(data_of(heard[2])["id"], "a");
  EXPECT_FALSE(server.hub.is_open(kProgress));
  EXPECT_FALSE(server.hub.is_open(kCheckpoints));
}

TEST(TrainingFeed, ChangesOfStatusAreMachineEvents) {
  Server server;
  server.subscribe("events");
  MachineEvent event;
  event.id = 3, event.code = "training_failed", event.training_id = "a", event.message = "it failed";
  server.feed.on_machine_event(event);
  const auto heard = server.heard();
  ASSERT_EQ(lines_of(heard), Lines{"1 event:created"});
  EXPECT_EQ(data_of(heard[0])["training_id"], "a");
}

TEST(TrainingFeed, WhatCannotBeToldDoesNotStopWhoTells) {
  Server server;
  TrainingRow damaged = training("a");
  damaged.gpu_ids = "no JSON";
  EXPECT_NO_THROW(server.feed.on_created(damaged));
  EXPECT_NO_THROW(server.feed.on_changed(damaged));
  EXPECT_NO_THROW(server.feed.on_run_event("a", line(1, "checkpoint", {{"step", "x"}, {"path", 7}})));
  EXPECT_NO_THROW(server.feed.on_run_event("nobody", line(1, "metrics")));
}

TEST(TrainingFeed, TenThousandTrainingsAreOpenedQuickly) {
  Server server;
  std::vector<TrainingRow> rows;
  for (int i = 0; i < 10000; ++i)
    rows.push_back(training("t" + std::to_string(i), TrainingStatus::completed, 1000));
  const double begin = monotonic_seconds();
  server.feed.open_all(rows, kNone);
  EXPECT_LT(monotonic_seconds() - begin, 2);
  EXPECT_TRUE(server.subscribe("trainings/t9999/progress", 999).reset);
}

}  // namespace
}  // namespace saemill::api
