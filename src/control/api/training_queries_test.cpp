// What is asked of trainings that are there: lists, control, deletion, metrics and events.
#include "control/api/trainings_fixture.h"

#include <gtest/gtest.h>

namespace saemill::api {
namespace {

using TrainingQueries = TrainingsApi;
using Status = TrainingStatus;

std::vector<std::string> ids(const Json& page) {
  std::vector<std::string> all;
  const Json& data = page.at("data");
  for (const Json& training : data) all.push_back(training.at("id").get<std::string>());
  return all;
}
using Words = std::vector<std::string>;

TEST_F(TrainingQueries, ListsAreFilteredAndPaged) {
  insert(row("a"));
  insert(row("b", Status::running));
  TrainingRow grouped = row("c", Status::failed);
  grouped.group_id = "g";
  insert(grouped);
  EXPECT_EQ(ids(get(list_trainings, "")), (Words{"c", "b", "a"}));
  EXPECT_EQ(ids(get(list_trainings, "", {{"status", "failed,queued"}})), (Words{"c", "a"}));
  EXPECT_EQ(ids(get(list_trainings, "", {{"status", ""}})), (Words{"c", "b", "a"}));
  EXPECT_EQ(ids(get(list_trainings, "", {{"group_id", "g"}})), (Words{"c"}));
  EXPECT_EQ(ids(get(list_trainings, "", {{"group_id", "g"}, {"status", "queued"}})), Words{});
  const Json second = get(list_trainings, "", {{"page", "2"}, {"limit", "2"}});
  EXPECT_EQ(ids(second), (Words{"a"}));
  EXPECT_EQ(second["pagination"], (Json{{"page", 2}, {"limit", 2}, {"total", 3}, {"total_pages", 2}}));
  EXPECT_TRUE(second["data"][0].contains("config"));
  const Json problem = get(list_trainings, "", {{"status", "queued,waiting"}});
  EXPECT_EQ(status_, 400);
  EXPECT_EQ(pointer_of(problem), "?status");
  get(list_trainings, "", {{"limit", "501"}});
  EXPECT_EQ(status_, 400);
}

TEST_F(TrainingQueries, ControlIsByTheTableOfStates) {
  insert(row("a"));
  EXPECT_EQ(post(control_training, "a", {{"action", "hold"}, {"priority", 7}})["priority"], 7);
  EXPECT_EQ(status_, 202);
  EXPECT_EQ(controlled_->action, Action::hold);
  const Json problem = post(control_training, "a", {{"action", "pause"}});
  EXPECT_EQ(status_, 409);
  EXPECT_EQ(problem["code"], "bad_state");
  EXPECT_NE(problem["detail"].get<std::string>().find("queued"), std::string::npos);
  EXPECT_EQ(post(control_training, "a", {{"action", "cancel"}})["status"], "cancelled");
  post(control_training, "nobody", {{"action", "cancel"}});
  EXPECT_EQ(status_, 404);
}

TEST_F(TrainingQueries, ControlSaysWhere) {
  insert(row("a", Status::paused));
  post(control_training, "a", {{"action", "resume"}, {"gpu_ids", {1, "gpu:0"}}, {"priority", 9}});
  ASSERT_EQ(status_, 202);
  EXPECT_EQ(controlled_->device_uuids, (Words{"GPU-11111111", "GPU-00000000"}));
  EXPECT_FALSE(controlled_->device_count);
  EXPECT_EQ(controlled_->priority, 9);
  insert(row("b", Status::failed));
  post(control_training, "b", {{"action", "retry"}, {"device_count", 3}, {"gpu_ids", nullptr}});
  ASSERT_EQ(status_, 202);
  EXPECT_EQ(controlled_->device_uuids, Words{});
  EXPECT_EQ(controlled_->device_count, 3);
  EXPECT_FALSE(controlled_->priority);
}

TEST_F(TrainingQueries, ControlRefusesWhatAnActionDoesNotTake) {
  insert(row("a", Status::paused));
  auto machine = std::make_shared<Snapshot>(*rich_snapshot());
  machine->devices[8].memory_total = 1000;
  snapshot_ = machine;
  const std::vector<std::pair<Json, std::string>> table = {
      {{{"priority", 1}}, "/action"},
      {{{"action", "stop"}}, "/action"},
      {{{"action", 1}}, "/action"},
      {{{"action", "resume"}, {"nonsense", 1}}, "/nonsense"},
      {{{"action", "cancel"}, {"gpu_ids", {0}}}, "/gpu_ids"},
      {{{"action", "hold"}, {"device_count", 1}}, "/device_count"},
      {{{"action", "pause"}, {"priority", 1}}, "/priority"},
      {{{"action", "finish"}, {"priority", 1}}, "/priority"},
      {{{"action", "resume"}, {"priority", 101}}, "/priority"},
      {{{"action", "resume"}, {"gpu_ids", {0}}, {"device_count", 1}}, "/device_count"},
      {{{"action", "resume"}, {"device_count", 8}}, "/device_count"},
      {{{"action", "resume"}, {"gpu_ids", {99}}}, "/gpu_ids/0"},
      {{{"action", "resume"}, {"gpu_ids", {0, 8}}}, "/gpu_ids/1"},
  };
  for (const auto& [body, pointer] : table) {
    const Json problem = post(control_training, "a", body);
    ASSERT_EQ(status_, 422) << body << problem;
    EXPECT_EQ(pointer_of(problem), pointer) << body << problem;
  }
  EXPECT_FALSE(controlled_);
}

TEST_F(TrainingQueries, DeletionIsOfThoseThatHoldNothing) {
  insert(row("a", Status::completed));
  insert(row("b", Status::running));
  EXPECT_EQ(call(erase_training, "a", {}, nullptr), Json());
  EXPECT_EQ(status_, 204);
  EXPECT_EQ(call(erase_training, "b", {}, nullptr)["code"], "bad_state");
  EXPECT_EQ(status_, 409);
  call(erase_training, "a", {}, nullptr);
  EXPECT_EQ(status_, 404);
  get(one_training, "a");
  EXPECT_EQ(status_, 404);
}

class TrainingSeries : public TrainingQueries {
 protected:
  void SetUp() override {
    TrainingQueries::SetUp();
    insert(row("a", Status::running));
    std::vector<RunEvent> events;
    const auto add = [&](const std::string& event) -> RunEvent& {
      RunEvent one;
      one.seq = static_cast<int64_t>(events.size()) + 1, one.time_ms = 1'800'000'000'000 + one.seq * 1000;
      one.event = event;
      one.data = Json{{"seq", one.seq}, {"event", event}}.dump();
      events.push_back(one);
      return events.back();
    };
    add("started");
    for (int64_t step = 1; step <= 4; ++step) {
      RunEvent& one = add("metrics");
      one.step = step;
      one.metrics = {{"loss", static_cast<double>(10 - step)}, {"l0", std::nullopt}};
    }
    RunEvent& ranked = add("metrics");
    ranked.step = 1, ranked.metrics = {{"loss", 77.0, 2}};
    add("finished");
    RunPosition after{.offset = 100, .seq = static_cast<int64_t>(events.size())};
    ASSERT_TRUE(RunEvents(*database_).apply("a", {}, after, events));
  }
};

TEST_F(TrainingSeries, MetricsAreAskedByNameStepAndRank) {
  const Json all = get(training_metrics, "a");
  ASSERT_EQ(status_, 200) << all;
  EXPECT_EQ(all["step"], Json({1, 2, 3, 4}));
  EXPECT_EQ(all["time"][0], 1'800'000'002);
  EXPECT_EQ(all["exact"], true);
  EXPECT_EQ(all["series"]["loss"]["mean"], Json({9.0, 8.0, 7.0, 6.0}));
  EXPECT_EQ(all["series"]["l0"]["min"], Json({nullptr, nullptr, nullptr, nullptr}));
  const Json part = get(training_metrics, "a", {{"names", "loss"}, {"from_step", "2"}, {"to_step", "3"}});
  EXPECT_EQ(part["step"], Json({2, 3}));
  EXPECT_EQ(part["series"].size(), 1U);
  const Json few = get(training_metrics, "a", {{"names", "loss"}, {"buckets", "2"}});
  EXPECT_EQ(few["exact"], false);
  EXPECT_LE(few["step"].size(), 2U);
  EXPECT_EQ(get(training_metrics, "a", {{"rank", "2"}})["series"]["loss"]["max"], Json::array({77.0}));
  EXPECT_EQ(get(training_metrics, "a", {{"rank", "1"}})["step"], Json::array());
  EXPECT_EQ(get(one_training, "a")["metrics"], (Json{{"l0", nullptr}, {"loss", 6.0}}));
}

TEST_F(TrainingSeries, EventsComeAfterSince) {
  const auto seqs = [](const Json& answer) {
    std::vector<int64_t> all;
    const Json& data = answer.at("data");
    for (const Json& event : data) all.push_back(event.at("seq").get<int64_t>());
    return all;
  };
  using Seqs = std::vector<int64_t>;
  EXPECT_EQ(seqs(get(training_events, "a")), (Seqs{1, 7}));  // metrics have a place of their own
  EXPECT_EQ(seqs(get(training_events, "a", {{"since", "1"}})), (Seqs{7}));
  EXPECT_EQ(seqs(get(training_events, "a", {{"since", "7"}})), Seqs{});
  EXPECT_EQ(seqs(get(training_events, "a", {{"limit", "1"}})), (Seqs{1}));
  EXPECT_EQ(get(training_events, "a")["data"][1]["event"], "finished");
}

TEST_F(TrainingSeries, ParametersAreRefusedByName) {
  const std::vector<std::tuple<HttpResponse (*)(Services&, const Request&), Fields, int>> table = {
      {training_metrics, {{"buckets", "0"}}, 400}, {training_metrics, {{"buckets", "10001"}}, 400},
      {training_metrics, {{"rank", "-1"}}, 400},   {training_metrics, {{"from_step", "x"}}, 400},
      {training_events, {{"since", "-2"}}, 400},   {training_events, {{"limit", "0"}}, 400},
  };
  for (const auto& [endpoint, query, status] : table) {
    const Json problem = get(endpoint, "a", query);
    EXPECT_EQ(status_, status) << problem;
    EXPECT_EQ(pointer_of(problem), "?" + query[0].first);
  }
  for (auto* endpoint : {training_metrics, training_events, one_training}) {
    get(endpoint, "nobody");
    EXPECT_EQ(status_, 404);
  }
  // The store's own refusals, which dispatch makes 422 of.
  EXPECT_THROW(get(training_metrics, "a", {{"from_step", "3"}, {"to_step", "2"}}), Error);
}

}  // namespace
}  // namespace saemill::api
