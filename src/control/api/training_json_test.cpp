#include "control/api/training_json.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace saemill::api {
namespace {

TEST(TrainingJson, ABareOneTellsWhatIsAlwaysThere) {
  TrainingRow row;
  row.id = "a", row.name = "n";
  EXPECT_EQ(training_json(row, {}), Json::parse(R"({
    "id": "a", "name": "n", "status": "queued", "gpu_ids": [], "device_uuids": [], "device_count": 1,
    "distributed": false, "world_size": 0, "current_step": 0, "total_steps": 0, "progress": 0.0,
    "priority": 50, "held": false, "after": [], "max_restarts": 0, "restarts": 0, "attempt": 0,
    "created_at": "1970-01-01T00:00:00.000Z", "actions": ["cancel", "hold", "release", "prioritize"],
    "metrics": {}, "config": {}})"));
}

TEST(TrainingJson, TimesAreThoseOfTheStoreToTheMillisecond) {
  TrainingRow row;
  for (const int64_t ms :
       {int64_t{1}, int64_t{999}, int64_t{1'800'000'000'123}, int64_t{1'763'736'212'057}}) {
    row.created_at = ms, row.started_at = ms, row.completed_at = ms;
    const Json json = training_json(row, {});
    const std::string end = fmt::format(".{:03}Z", ms % 1000);
    for (const char* name : {"created_at", "started_at", "completed_at"})
      EXPECT_TRUE(json[name].get<std::string>().ends_with(end)) << json[name] << " " << ms;
  }
}

TEST(TrainingJson, ProgressIsOfItsSteps) {
  TrainingRow row;
  const auto progress = [&](int64_t step, int64_t steps) {
    row.current_step = step, row.total_steps = steps;
    return training_json(row, {}).at("progress").get<double>();
  };
  EXPECT_EQ(progress(25, 200), 12.5);
  EXPECT_EQ(progress(200, 200), 100);
  EXPECT_EQ(progress(201, 200), 100);
  EXPECT_EQ(progress(5, 0), 0);
}

TEST(TrainingJson, WhyItWaitsAndWhatItMeasured) {
  TrainingRow row;
  row.reason_code = "devices_busy", row.reason_message = "gpu:0 is busy", row.expected_start = 1000;
  row.asked_gpu_ids = R"(["GPU-a"])";
  row.config = R"({"sae": {"k": 1}})";
  const Json json = training_json(row, {{"loss", 5, 0, 0.5}, {"fvu", 5, 0, std::nullopt}});
  EXPECT_EQ(json["reason"], (Json{{"code", "devices_busy"},
                                  {"message", "gpu:0 is busy"},
                                  {"expected_start", "1970-01-01T00:00:01.000Z"}}));
  EXPECT_EQ(json["asked_gpu_ids"], Json({"GPU-a"}));
  EXPECT_EQ(json["metrics"], (Json{{"loss", 0.5}, {"fvu", nullptr}}));
  EXPECT_EQ(json["config"]["sae"]["k"], 1);
}

}  // namespace
}  // namespace saemill::api
