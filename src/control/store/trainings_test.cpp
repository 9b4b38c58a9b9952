#include "control/store/trainings.h"

#include <gtest/gtest.h>
#include <soci/soci.h>

#include <atomic>
#include <set>
#include <thread>

#include "common/base/error.h"
#include "control/store/checkpoints.h"
#include "control/store/run_events.h"
#include "control/store/training_events.h"
#include "tests/store_fixture.h"

namespace saemill {
namespace {

using Status = TrainingStatus;

class TrainingsTest : public testing_tools::StoreTest {
 protected:
  void SetUp() override {
    testing_tools::StoreTest::SetUp();
    if (IsSkipped()) return;
    database_ = std::make_unique<Database>(url_);
    trainings_ = std::make_unique<Trainings>(*database_);
  }
  TrainingRow add(const std::string& id, Status status = Status::queued, const std::string& server = "s") {
    TrainingRow row;
    row.id = id;
    row.name = "run " + id;
    row.status = status;
    row.server_id = server;
    std::vector<TrainingRow> rows{row};
    trainings_->insert(rows);
    return rows.front();
  }
  static std::vector<std::string> ids_of(const std::vector<TrainingRow>& rows) {
    std::vector<std::string> ids;
    for (const TrainingRow& row : rows) ids.push_back(row.id);
    return ids;
  }
  int64_t count(const std::string& table) const {
    int64_t rows = 0;
    database_->read(
        [&](soci::session& session) { session << "SELECT COUNT(*) FROM " << table, soci::into(rows); });
    return rows;
  }

  std::unique_ptr<Database> database_;
  std::unique_ptr<Trainings> trainings_;
};
SAEMILL_STORE_TESTS(TrainingsTest);

TEST_P(TrainingsTest, KeepsEveryColumn) {
  TrainingRow row;
  row.id = "a";
  row.name = "n'ä\"";
  row.group_id = "g";
  row.status = Status::running;
  row.reason_code = "waiting";
  row.reason_message = "";
  row.expected_start = 1;
  row.asked_gpu_ids = "[0,1]";
  row.device_count = 2;
  row.device_uuids = R"(["GPU-a","GPU-b"])";
  row.gpu_ids = "[1,0]";
  row.distributed = true;
  row.world_size = 3;
  row.current_step = 4;
  row.total_steps = 5;
  row.priority = 6;
  row.held = true;
  row.after = R"(["b"])";
  row.time_limit_s = 7;
  row.max_restarts = 8;
  row.restarts = 9;
  row.config = R"({"sae":{}})";
  row.attempt = 10;
  row.finalized_from_step = 11;
  row.created_at = 1800000000000;
  row.started_at = 12;
  row.completed_at = 13;
  row.error = "e";
  row.server_id = "s";
  row.host = "h";
  row.launcher_pid = 14;
  row.launcher_start_time = int64_t{1} << 60;
  row.boot_id = "boot";
  row.events_offset = 15;
  row.events_seq = 16;
  row.events_skipped = 17;
  row.resumed_from = "paused";
  row.from_checkpoint = 11;
  std::vector<TrainingRow> rows{row};
  trainings_->insert(rows);
  const auto found = trainings_->find("a");
  ASSERT_TRUE(found);
  EXPECT_EQ(found->arrival, rows[0].arrival);
  EXPECT_EQ(std::tie(found->name, found->group_id, found->status, found->reason_code, found->reason_message),
            std::tie(row.name, row.group_id, row.status, row.reason_code, row.reason_message));
  EXPECT_EQ(std::tie(found->expected_start, found->asked_gpu_ids, found->device_count, found->device_uuids,
                     found->gpu_ids, found->distributed, found->world_size),
            std::tie(row.expected_start, row.asked_gpu_ids, row.device_count, row.device_uuids, row.gpu_ids,
                     row.distributed, row.world_size));
  EXPECT_EQ(std::tie(found->current_step, found->total_steps, found->priority, found->held, found->after,
                     found->time_limit_s, found->max_restarts, found->restarts, found->config),
            std::tie(row.current_step, row.total_steps, row.priority, row.held, row.after, row.time_limit_s,
                     row.max_restarts, row.restarts, row.config));
  EXPECT_EQ(std::tie(found->attempt, found->finalized_from_step, found->created_at, found->started_at,
                     found->completed_at, found->error, found->server_id, found->host),
            std::tie(row.attempt, row.finalized_from_step, row.created_at, row.started_at, row.completed_at,
                     row.error, row.server_id, row.host));
  EXPECT_EQ(std::tie(found->launcher_pid, found->launcher_start_time, found->boot_id, found->events_offset,
                     found->events_seq, found->events_skipped, found->resumed_from, found->from_checkpoint),
            std::tie(row.launcher_pid, row.launcher_start_time, row.boot_id, row.events_offset,
                     row.events_seq, row.events_skipped, row.resumed_from, row.from_checkpoint));
  EXPECT_FALSE(trainings_->find("b"));
}

TEST_P(TrainingsTest, WhatIsAbsentStaysAbsent) {
  add("a");
  const auto found = trainings_->find("a");
  ASSERT_TRUE(found);
  EXPECT_FALSE(found->group_id || found->reason_code || found->reason_message || found->expected_start);
  EXPECT_FALSE(found->asked_gpu_ids || found->time_limit_s || found->finalized_from_step);
  EXPECT_FALSE(found->started_at || found->completed_at || found->error || found->resumed_from);
  EXPECT_FALSE(found->held);
}

TEST_P(TrainingsTest, ChangesOnlyWhatIsGivenAndOnlyInTheExpectedStatus) {
  add("a");
  EXPECT_TRUE(trainings_->update(
      "a", Status::queued,
      {.status = Status::starting, .reason_code = "now", .gpu_ids = "[3]", .held = true, .started_at = 7}));
  EXPECT_FALSE(trainings_->update("a", Status::queued, {.status = Status::cancelled}));
  EXPECT_FALSE(trainings_->update("b", Status::queued, {.status = Status::cancelled}));
  auto found = trainings_->find("a");
  EXPECT_EQ(found->status, Status::starting);
  EXPECT_EQ(found->reason_code, "now");
  EXPECT_EQ(found->gpu_ids, "[3]");
  EXPECT_TRUE(found->held);
  EXPECT_EQ(found->started_at, 7);
  EXPECT_EQ(found->name, "run a");
  EXPECT_TRUE(trainings_->update("a", Status::starting,
                                 {.reason_code = std::optional<std::string>(), .priority = 80}));
  found = trainings_->find("a");
  EXPECT_FALSE(found->reason_code);
  EXPECT_EQ(found->priority, 80);
  EXPECT_EQ(found->status, Status::starting);
  EXPECT_TRUE(trainings_->update(
      "a", Status::starting,
      {.current_step = 12, .total_steps = 100, .from_checkpoint = std::optional<int64_t>(10)}));
  found = trainings_->find("a");
  EXPECT_EQ(found->current_step, 12);
  EXPECT_EQ(found->total_steps, 100);
  EXPECT_EQ(found->from_checkpoint, 10);
}

TEST_P(TrainingsTest, OfManyWhoMoveATrainingOneSucceeds) {
  add("a");
  Database other(url_);
  for (int round = 0; round < 10; ++round) {
    std::atomic<int> moved = 0;
    std::vector<std::thread> actors;
    for (int i = 0; i < 6; ++i) {
      actors.emplace_back([&, i] {
        Trainings mine(i % 2 == 0 ? *database_ : other);
        if (mine.update("a", Status::queued, {.status = Status::starting, .launcher_pid = i + 1})) ++moved;
      });
    }
    for (std::thread& actor : actors) actor.join();
    EXPECT_EQ(moved, 1);
    EXPECT_TRUE(trainings_->update("a", Status::starting, {.status = Status::queued}));
  }
}

TEST_P(TrainingsTest, AGroupArrivesWholeOrNotAtAll) {
  std::vector<TrainingRow> rows(3);
  for (size_t i = 0; i < rows.size(); ++i) {
    rows[i].id = fmt::format("g{}", i);
    rows[i].group_id = "g";
  }
  std::vector<MachineEvent> events(1), none(1);
  trainings_->insert(rows, &events);
  EXPECT_GT(events[0].id, 0);
  EXPECT_EQ(MachineEvents(*database_).query({}).total, 1);
  EXPECT_LT(rows[0].arrival, rows[1].arrival);
  EXPECT_LT(rows[1].arrival, rows[2].arrival);
  std::vector<TrainingRow> again(2);
  again[0].id = "new";
  again[1].id = "g1";
  EXPECT_THROW(trainings_->insert(again, &none), Error);
  EXPECT_EQ(again[0].arrival, 0);
  EXPECT_EQ(none[0].id, 0);
  EXPECT_EQ(MachineEvents(*database_).query({}).total, 1);
  EXPECT_FALSE(trainings_->find("new"));
  add("alone");
  const auto page = trainings_->list({.group_id = "g"});
  EXPECT_EQ(page.total, 3);
  EXPECT_EQ(ids_of(page.trainings), (std::vector<std::string>{"g2", "g1", "g0"}));
}

TEST_P(TrainingsTest, ListsByStatusAndPage) {
  for (int i = 0; i < 7; ++i) add(fmt::format("q{}", i));
  add("r", Status::running);
  add("d", Status::completed);
  EXPECT_EQ(trainings_->list({}).total, 9);
  EXPECT_EQ(ids_of(trainings_->list({.limit = 2}).trainings), (std::vector<std::string>{"d", "r"}));
  const TrainingQuery queued{.status = {Status::queued}, .page = 3, .limit = 3};
  EXPECT_EQ(ids_of(trainings_->list(queued).trainings), (std::vector<std::string>{"q0"}));
  EXPECT_EQ(trainings_->list(queued).total, 7);
  EXPECT_EQ(trainings_->list({.status = {Status::running, Status::completed}}).total, 2);
  EXPECT_TRUE(trainings_->list({.page = 4, .limit = 3}).trainings.empty());
  EXPECT_TRUE(trainings_->list({.page = INT64_MAX, .limit = 3}).trainings.empty());
  EXPECT_THROW(trainings_->list({.page = 0}), Error);
  EXPECT_THROW(trainings_->list({.limit = 0}), Error);
  EXPECT_THROW(trainings_->list({.limit = 501}), Error);
}

TEST_P(TrainingsTest, KnowsWhoHoldsDevicesAndWhoWaits) {
  for (int i = 0; i < 9; ++i) {
    const auto status = static_cast<Status>(i);
    add(to_string(status), status);
    add(fmt::format("other {}", to_string(status)), status, "t");
    EXPECT_EQ(training_status_of(to_string(status)), status);
  }
  EXPECT_FALSE(training_status_of("sleeping"));
  const auto active = trainings_->active("s");
  EXPECT_EQ(ids_of(active), (std::vector<std::string>{"starting", "running", "pausing", "finalizing"}));
  for (const TrainingRow& row : active) EXPECT_TRUE(holds_devices(row.status) && !is_final(row.status));
  EXPECT_EQ(ids_of(trainings_->queued("t")), (std::vector<std::string>{"other queued"}));
}

TEST_P(TrainingsTest, KnowsWhichCompletedOnesHaveCheckpointsStill) {
  TrainingChange ended;
  ended.completed_at.emplace(1000);
  const std::vector<std::tuple<std::string, Status, bool>> all{{"a", Status::completed, false},
                                                               {"b", Status::completed, true},
                                                               {"c", Status::failed, false},
                                                               {"d", Status::completed, false},
                                                               {"e", Status::completed, false}};
  for (const auto& row : all) {
    const auto& [id, status, removed] = row;
    add(id, status, id == "e" ? "another" : "s");
    ASSERT_TRUE(trainings_->update(id, status, ended));
    const std::string sql = fmt::format(
        "INSERT INTO checkpoints (training_id, step, name, bytes, time_ms, removed_at)"
        " VALUES ('{0}', 1, 'step-00000001', 1, 1, 7), ('{0}', 2, 'step-00000002', 1, 1, {1})",
        id, removed ? "7" : "NULL");
    database_->write([&](soci::session& session) { session << sql; });
  }
  EXPECT_EQ(ids_of(trainings_->completed_before("s", 1001)), (std::vector<std::string>{"a", "d"}));
  EXPECT_TRUE(trainings_->completed_before("s", 1000).empty());
  EXPECT_EQ(trainings_->ended_before("s", 1001).size(), 4u);
}

TEST_P(TrainingsTest, ErasesWithAllThatBelongsToIt) {
  add("a", Status::running);
  add("b", Status::running);
  RunEvents events(*database_);
  for (const char* id : {"a", "b"}) {
    RunEvent metrics{.seq = 1, .event = "metrics", .data = "{}", .step = 1, .metrics = {{"loss", 1.0}}};
    RunEvent saved{.seq = 2, .event = "checkpoint", .data = "{}", .step = 1, .checkpoint = "step-1"};
    ASSERT_TRUE(events.apply(id, {}, {.offset = 10, .seq = 2}, {metrics, saved}));
  }
  EXPECT_FALSE(trainings_->erase("a")) << "it holds devices";
  EXPECT_EQ(count("training_metrics"), 2);
  ASSERT_TRUE(trainings_->update("a", Status::running, {.status = Status::failed}));
  EXPECT_TRUE(trainings_->erase("a"));
  EXPECT_FALSE(trainings_->erase("a"));
  EXPECT_FALSE(trainings_->find("a"));
  for (const char* table : {"trainings", "training_metrics", "checkpoints", "training_events"}) {
    EXPECT_EQ(count(table), 1) << table;
  }
  EXPECT_FALSE(events.apply("a", {}, {.offset = 10, .seq = 2}, {}));
  EXPECT_FALSE(events.position("a"));
  EXPECT_EQ(Checkpoints(*database_).list("b").size(), 1U);
}

TEST_P(TrainingsTest, AnArrivalIsNeverUsedAgain) {
  const int64_t first = add("a").arrival;
  EXPECT_TRUE(trainings_->erase("a"));
  EXPECT_GT(add("b").arrival, first);
}

TEST_P(TrainingsTest, BytesThatAreNoTextAreReplaced) {
  const std::string bad("a\0b\xff\xed\xa0\x80", 7);
  TrainingRow row;
  row.id = "x";
  row.name = bad;
  row.error = bad;
  std::vector<TrainingRow> rows{row};
  trainings_->insert(rows);
  ASSERT_TRUE(trainings_->update("x", Status::queued, {.reason_message = bad}));
  const auto found = trainings_->find("x");
  EXPECT_EQ(found->name, "a?b????");
  EXPECT_EQ(found->error, "a?b????");
  EXPECT_EQ(found->reason_message, "a?b????");
  EXPECT_FALSE(trainings_->find(bad));
  EXPECT_FALSE(trainings_->erase(bad));
  EXPECT_EQ(trainings_->list({.group_id = bad}).total, 0);
  EXPECT_TRUE(TrainingEvents(*database_).since(bad, -1).empty());
}

}  // namespace
}  // namespace saemill
