// POST trainings and duplicate: what is created, and what is refused.
#include "control/api/dispatch.h"
#include "control/api/trainings_fixture.h"

#include <gtest/gtest.h>

namespace saemill::api {
namespace {

using Trainings = TrainingsApi;

TEST_F(Trainings, OneIsStoredResolvedAndAnswered) {
  Json what = config();
  what["name"] = "mine";
  what["train"] = {{"epochs", 2}, {"batch_size_per_device", 50}};
  const Json training = create({{"device_count", 2}}, what);
  ASSERT_EQ(status_, 201) << training;
  EXPECT_EQ(training["name"], "mine");
  EXPECT_EQ(training["status"], "queued");
  EXPECT_EQ(training["total_steps"], 20);  // 2 epochs of 1000 rows, 100 at a time
  EXPECT_EQ(training["config"]["train"]["batch_size"], 100);
  EXPECT_EQ(training["config"]["activations"]["path"], (activations_ / "shard.safetensors").string());
  EXPECT_EQ(training["config"]["activations"]["d_in"], 64);
  EXPECT_EQ(training["priority"], 50);
  EXPECT_EQ(training["max_restarts"], 3);
  EXPECT_EQ(training["device_count"], 2);
  EXPECT_EQ(training["held"], false);
  EXPECT_EQ(training["after"], Json::array());
  for (const char* absent : {"group_id", "asked_gpu_ids", "time_limit_s", "reason", "started_at", "error"})
    EXPECT_FALSE(training.contains(absent)) << absent;
  const auto row = trainings_->find(training["id"].get<std::string>());
  ASSERT_TRUE(row);
  EXPECT_EQ(Json::parse(row->config), training["config"]);
}

TEST_F(Trainings, OrderLimitsAndDevicesAreAsAsked) {
  insert(row("before", TrainingStatus::running));
  const Json training = create({{"gpu_ids", {"gpu:0", 8}},
                                {"device_count", nullptr},
                                {"priority", 90},
                                {"after", {"before"}},
                                {"time_limit_s", 60},
                                {"max_restarts", 0},
                                {"hold", true},
                                {"start", "queue"}});
  ASSERT_EQ(status_, 201) << training;
  EXPECT_EQ(training["asked_gpu_ids"], Json({"GPU-00000000", "GPU-99999999"}));
  EXPECT_EQ(training["device_count"], 2);
  EXPECT_EQ(training["gpu_ids"], Json::array());  // it has none yet
  EXPECT_EQ(training["priority"], 90);
  EXPECT_EQ(training["after"], Json({"before"}));
  EXPECT_EQ(training["time_limit_s"], 60);
  EXPECT_EQ(training["max_restarts"], 0);
  EXPECT_EQ(training["held"], true);
}

TEST_F(Trainings, BusyAndIllDevicesMayBeWaitedFor) {
  for (const int gpu : {1, 2, 3, 6, 7}) {
    create({{"gpu_ids", {gpu}}});
    EXPECT_EQ(status_, 201) << gpu;
  }
}

TEST_F(Trainings, NowIsNowOrNotAtAll) {
  EXPECT_EQ(create({{"start", "now"}})["status"], "queued");
  EXPECT_EQ(status_, 201);
  busy_ = true;
  const Json problem = create({{"start", "now"}});
  EXPECT_EQ(status_, 409);
  EXPECT_EQ(problem["code"], "gpu_unavailable");
  EXPECT_EQ(stored(), 1);
}

TEST_F(Trainings, AnIdempotencyKeyCreatesOnce) {
  HttpRequest request;
  request.method = "POST", request.target = "/api/v1/trainings", request.content_type = "application/json";
  request.body = Json{{"config", config()}}.dump(), request.idempotency_key = "one";
  const HttpResponse first = dispatch(services_, request), second = dispatch(services_, request);
  EXPECT_EQ(first.status, 201);
  EXPECT_EQ(second.status, 201);
  EXPECT_EQ(first.body, second.body);
  EXPECT_EQ(stored(), 1);
}

TEST_F(Trainings, WhatARequestMayNotSayIsRefused) {
  insert(row("lost", TrainingStatus::failed));
  insert(row("ended", TrainingStatus::cancelled));
  insert(row("well", TrainingStatus::completed));
  const std::vector<std::tuple<Json, std::string, std::string>> table = {
      {{{"nonsense", 1}}, "/nonsense", "unknown_member"},
      {{{"gpu_ids", Json::array()}}, "/gpu_ids", "invalid_value"},
      {{{"gpu_ids", {"gpu:0", "nobody"}}}, "/gpu_ids/1", "does_not_exist"},
      {{{"gpu_ids", {0, 8, "gpu:0"}}}, "/gpu_ids/2", "named_twice"},
      {{{"gpu_ids", {0, "cpu:0"}}}, "/gpu_ids", "mixed_models"},
      {{{"gpu_ids", {4}}}, "/gpu_ids/0", "prohibited"},
      {{{"gpu_ids", {0, 5}}}, "/gpu_ids/1", "prohibited"},
      {{{"gpu_ids", {0}}, {"device_count", 1}}, "/device_count", "conflict"},
      {{{"device_count", 0}}, "/device_count", "invalid_value"},
      {{{"device_count", 8}}, "/device_count", "invalid_value"},
      {{{"start", "soon"}}, "/start", "invalid_value"},
      {{{"start", "now"}, {"hold", true}}, "/hold", "conflict"},
      {{{"hold", 1}}, "/hold", "invalid_value"},
      {{{"priority", 101}}, "/priority", "invalid_value"},
      {{{"priority", -1}}, "/priority", "invalid_value"},
      {{{"priority", 1.5}}, "/priority", "invalid_value"},
      {{{"after", "well"}}, "/after", "invalid_value"},
      {{{"after", {1}}}, "/after", "invalid_value"},
      {{{"after", {"well", "nobody"}}}, "/after/1", "does_not_exist"},
      {{{"after", {"lost"}}}, "/after/0", "bad_state"},
      {{{"after", {"well", "ended"}}}, "/after/1", "bad_state"},
      {{{"time_limit_s", 0}}, "/time_limit_s", "invalid_value"},
      {{{"max_restarts", 1001}}, "/max_restarts", "invalid_value"},
  };
  for (const auto& [more, pointer, code] : table) {
    const Json problem = create(more);
    ASSERT_EQ(status_, 422) << more << problem;
    EXPECT_EQ(problem["code"], "invalid_request") << more;
    EXPECT_EQ(pointer_of(problem), pointer) << more << problem;
    EXPECT_EQ(code_of(problem), code) << more << problem;
  }
  create({{"after", {"well"}}});
  EXPECT_EQ(status_, 201);
  EXPECT_EQ(stored(), 4);
}

TEST_F(Trainings, MoreDevicesThanThereAreIsSaid) {
  const Json problem = create({{"device_count", 8}});
  EXPECT_NE(problem["detail"].get<std::string>().find("has 7 "), std::string::npos) << problem;
  // With nothing to see, devices may yet appear.
  snapshot_ = std::make_shared<Snapshot>();
  create({{"device_count", 8}});
  EXPECT_EQ(status_, 201);
  auto slots = std::make_shared<Snapshot>();
  slots->devices = {cpu_slot(0), cpu_slot(1)};
  take_places(*slots);
  snapshot_ = slots;
  create({{"device_count", 2}});
  EXPECT_EQ(status_, 201);
  create({{"device_count", 3}});
  EXPECT_EQ(status_, 422);
  snapshot_ = nullptr;
  create();
  EXPECT_EQ(status_, 503);
}

TEST_F(Trainings, AGpuThatNobodyHasSeenYetIsNotDenied) {
  auto starting = std::make_shared<Snapshot>();
  starting->driver.state = "starting";
  starting->devices = {cpu_slot(0)};
  take_places(*starting);
  snapshot_ = starting;
  EXPECT_NE(create({{"gpu_ids", {"gpu:0"}}})["detail"].get<std::string>().find("starting"),
            std::string::npos);
  EXPECT_EQ(status_, 503);
  create({{"gpu_ids", {"cpu:7"}}});
  EXPECT_EQ(status_, 422);
  starting->driver.told = true;
  create({{"gpu_ids", {"gpu:0"}}});
  EXPECT_EQ(status_, 422);
}

TEST_F(Trainings, NamedDevicesMustBeLargeEnough) {
  auto machine = std::make_shared<Snapshot>(*rich_snapshot());
  machine->devices[8].memory_total = 1000;
  machine->devices[8].memory_reserved.reset();
  machine->devices[0].memory_free = 1000;  // used by others, who may leave
  snapshot_ = machine;
  const Json problem = create({{"gpu_ids", {0, 8}}});
  EXPECT_EQ(status_, 422);
  EXPECT_EQ(problem["errors"].size(), 1U);
  EXPECT_EQ(pointer_of(problem), "/gpu_ids/1");
  EXPECT_EQ(code_of(problem), "memory");
  EXPECT_NE(problem["detail"].get<std::string>().find("altogether"), std::string::npos);
}

TEST_F(Trainings, ConfigurationsAreRefusedByName) {
  const auto with = [](const char* pointer, const Json& value) {
    Json what = config();
    what[Json::json_pointer(pointer)] = value;
    return what;
  };
  const std::vector<std::tuple<Json, int, std::string>> table = {
      {7, 422, "/config"},
      {with("/sae/k", -1), 422, "/config/sae/k"},
      {with("/sae/k", 1000), 422, "/config/sae/k"},  // more than d_sae
      {with("/sae/nonsense", 1), 422, "/config/sae/nonsense"},
      {with("/activations/d_in", 32), 422, "/config/activations/d_in"},
      {with("/activations/path", "/etc/passwd"), 403, "/config/activations/path"},
      {with("/activations/path", "nothing"), 404, "/config/activations/path"},
      {with("/activations/path", "damaged.safetensors"), 422, "/config/activations/path"},
      {with("/activations", {{"d_in", 64}}), 422, "/config/activations/path"},  // enough for an estimate
      {with("/activations", {{"d_in", 64}, {"path", "nothing"}}), 404, "/config/activations/path"},
      {with("/name", ""), 422, "/config/name"},
      {with("/name", std::string(1001, 'x')), 422, "/config/name"},
  };
  for (const auto& [what, status, pointer] : table) {
    const Json problem = create({}, what);
    ASSERT_EQ(status_, status) << what << problem;
    EXPECT_EQ(pointer_of(problem), pointer) << what << problem;
  }
  post(create_trainings, "", Json::object());
  EXPECT_EQ(status_, 422);
  EXPECT_EQ(stored(), 0);
}

TEST_F(Trainings, ListsMakeAGroup) {
  int asked = 0;
  services_.inspect = [&](const std::filesystem::path&, const std::string& tensor) {
    ++asked;
    return Json{{"files", 1},     {"rows", 1000},     {"d_in", 64},
                {"dtype", "f32"}, {"tensor", tensor}, {"bytes", 1}};
  };
  Json what = config();
  what["train"]["lr"] = {0.001, 0.002};
  what["sae"]["k"] = {4, 8, 16};
  const Json group = create({{"device_count", 2}, {"priority", 10}}, what);
  ASSERT_EQ(status_, 201) << group;
  ASSERT_EQ(group["data"].size(), 6U);
  EXPECT_EQ(asked, 1);
  std::vector<std::string> names;
  for (const Json& training : group["data"]) {
    names.push_back(training["name"].get<std::string>());
    EXPECT_EQ(training["group_id"], group["group_id"]);
    EXPECT_EQ(training["priority"], 10);
    EXPECT_EQ(training["config"]["name"], training["name"]);
  }
  EXPECT_EQ(names, (std::vector<std::string>{"sae k=4 lr=0.001", "sae k=4 lr=0.002", "sae k=8 lr=0.001",
                                             "sae k=8 lr=0.002", "sae k=16 lr=0.001", "sae k=16 lr=0.002"}));
  EXPECT_EQ(group["data"][3]["config"]["sae"]["k"], 8);
  EXPECT_EQ(group["data"][3]["config"]["train"]["lr"], 0.002);
  const Json found = get(list_trainings, "", {{"group_id", group["group_id"].get<std::string>()}});
  EXPECT_EQ(found["pagination"]["total"], 6);
}

TEST_F(Trainings, AListOfOneIsOneTraining) {
  Json what = config();
  what["sae"]["k"] = Json::array({4});
  const Json training = create({{"gpu_ids", {0}}}, what);
  ASSERT_EQ(status_, 201) << training;
  EXPECT_EQ(training["name"], "sae");
  EXPECT_FALSE(training.contains("group_id"));
}

TEST_F(Trainings, AGroupIsCreatedAsAWholeOrNotAtAll) {
  Json what = config();
  what["sae"]["k"] = {4, 8, "many"};
  Json problem = create({}, what);
  EXPECT_EQ(status_, 422);
  EXPECT_EQ(pointer_of(problem), "/config/sae/k/2");
  what["sae"]["k"] = {4, 1000};  // wrong only together with d_sae
  problem = create({}, what);
  EXPECT_EQ(status_, 422);
  EXPECT_EQ(pointer_of(problem), "/config/sae/k/1");
  what["sae"]["k"] = {4, 8};
  what["activations"]["path"] = {"shard.safetensors", "nothing"};
  problem = create({}, what);
  EXPECT_EQ(status_, 404);
  EXPECT_EQ(pointer_of(problem), "/config/activations/path/1");
  what["activations"]["path"] = "shard.safetensors";
  problem = create({{"gpu_ids", {0}}}, what);
  EXPECT_EQ(status_, 422);
  EXPECT_EQ(pointer_of(problem), "/gpu_ids");
  busy_ = true;
  create({{"start", "now"}}, what);
  EXPECT_EQ(status_, 409);
  EXPECT_EQ(stored(), 0);
}

TEST_F(Trainings, ADuplicateIsTheSameAgain) {
  const Json first =
      create({{"gpu_ids", {8}}, {"priority", 80}, {"time_limit_s", 60}, {"max_restarts", 7}, {"hold", true}});
  ASSERT_EQ(status_, 201);
  const auto id = first["id"].get<std::string>();
  const Json second = post(duplicate_training, id, nullptr);
  ASSERT_EQ(status_, 201) << second;
  EXPECT_NE(second["id"], first["id"]);
  for (const char* same :
       {"name", "config", "asked_gpu_ids", "device_count", "priority", "time_limit_s", "max_restarts"})
    EXPECT_EQ(second[same], first[same]) << same;
  EXPECT_EQ(second["held"], false);
  const Json third = post(duplicate_training, id,
                          {{"overrides", {{"train.steps", 20}, {"sae", {{"k", 4}}}}},
                           {"name", "again"},
                           {"device_count", 2},
                           {"priority", 1},
                           {"after", {id}},
                           {"time_limit_s", 5}});
  ASSERT_EQ(status_, 201) << third;
  EXPECT_EQ(third["name"], "again");
  EXPECT_EQ(third["total_steps"], 20);
  EXPECT_EQ(third["config"]["sae"]["k"], 4);
  EXPECT_FALSE(third.contains("asked_gpu_ids"));
  EXPECT_EQ(third["device_count"], 2);
  EXPECT_EQ(third["priority"], 1);
  EXPECT_EQ(third["max_restarts"], 7);
  EXPECT_EQ(third["after"], Json({id}));
}

TEST_F(Trainings, ADuplicateIsRefusedByName) {
  const auto id = create({{"gpu_ids", {8}}})["id"].get<std::string>();
  const std::vector<std::pair<Json, std::string>> table = {
      {{{"overrides", 7}}, "/overrides"},
      {{{"overrides", {{"sae", {{"k", -1}}}}}}, "/overrides/sae/k"},
      {{{"overrides", {{"sae.k", -1}}}}, "/overrides/sae.k"},
      {{{"overrides", {{"sae.k", 1}, {"sae", {{"k", 2}}}}}}, "/overrides/sae/k"},
      {{{"overrides", {{"train.lr", {1, 2}}}}}, "/overrides/train.lr"},  // no groups here
      {{{"overrides", {{"nonsense", 1}}}}, "/overrides/nonsense"},
      {{{"overrides", {{"train.batch_size", 8}, {"train.batch_size_per_device", 8}}}},
       "/overrides/train.batch_size"},
      {{{"name", ""}}, "/name"},
      {{{"name", 7}}, "/name"},
      {{{"config", Json::object()}}, "/config"},
      {{{"after", {"nobody"}}}, "/after/0"},
  };
  for (const auto& [body, pointer] : table) {
    const Json problem = post(duplicate_training, id, body);
    ASSERT_EQ(status_, 422) << body << problem;
    EXPECT_EQ(pointer_of(problem), pointer) << body << problem;
  }
  post(duplicate_training, "nobody", Json::object());
  EXPECT_EQ(status_, 404);
  auto smaller = std::make_shared<Snapshot>(*rich_snapshot());
  smaller->devices.resize(8);
  snapshot_ = smaller;
  EXPECT_EQ(pointer_of(post(duplicate_training, id, nullptr)), "/gpu_ids/0");
  std::filesystem::remove(activations_ / "shard.safetensors");
  post(duplicate_training, id, {{"device_count", 1}});
  EXPECT_EQ(status_, 404);
  EXPECT_EQ(stored(), 1);
}

}  // namespace
}  // namespace saemill::api
