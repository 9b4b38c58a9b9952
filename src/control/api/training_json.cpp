#include "control/api/training_json.h"

#include <algorithm>

#include "common/base/clock.h"
#include "common/protocol/checkpoint_folders.h"
#include "control/jobs/training_state.h"

namespace saemill::api {
namespace {

// Half a millisecond more: a rounded quotient must not become the millisecond before.
std::string time_of(int64_t epoch_ms) {
  return utc_time((static_cast<double>(epoch_ms) + 0.5) / 1e3);
}

template <typename T>
void set(Json& json, const char* name, const std::optional<T>& value) {
  if (value) json[name] = *value;
}

void set_time(Json& json, const char* name, const std::optional<int64_t>& epoch_ms) {
  if (epoch_ms) json[name] = time_of(*epoch_ms);
}

double progress(const TrainingRow& training) {
  if (training.total_steps <= 0) return 0;
  const double done = static_cast<double>(training.current_step) / static_cast<double>(training.total_steps);
  return 100 * std::clamp(done, 0.0, 1.0);
}

void set_reason(Json& json, const TrainingRow& training) {
  if (!training.reason_code) return;
  Json reason{{"code", *training.reason_code}, {"message", training.reason_message.value_or("")}};
  set_time(reason, "expected_start", training.expected_start);
  json["reason"] = std::move(reason);
}

void set_devices(Json& json, const TrainingRow& training) {
  json["gpu_ids"] = Json::parse(training.gpu_ids);
  json["device_uuids"] = Json::parse(training.device_uuids);
  if (training.asked_gpu_ids) json["asked_gpu_ids"] = Json::parse(*training.asked_gpu_ids);
  json["device_count"] = training.device_count;
  json["distributed"] = training.distributed;
  json["world_size"] = training.world_size;
}

}  // namespace

Json training_state_json(const TrainingRow& training) {
  Json json{{"id", training.id}, {"name", training.name}};
  set(json, "group_id", training.group_id);
  json["status"] = to_string(training.status);
  set_reason(json, training);
  set_devices(json, training);
  json["current_step"] = training.current_step;
  json["total_steps"] = training.total_steps;
  json["progress"] = progress(training);
  json["priority"] = training.priority;
  json["held"] = training.held;
  json["after"] = Json::parse(training.after);
  set(json, "time_limit_s", training.time_limit_s);
  json["max_restarts"] = training.max_restarts;
  json["restarts"] = training.restarts;
  json["attempt"] = training.attempt;
  set(json, "finalized_from_step", training.finalized_from_step);
  if (training.from_checkpoint) json["from_checkpoint"] = checkpoint_name(*training.from_checkpoint);
  json["created_at"] = time_of(training.created_at);
  set_time(json, "started_at", training.started_at);
  set_time(json, "completed_at", training.completed_at);
  set(json, "error", training.error);
  json["actions"] = Json::array();
  for (const Action action : accepted_actions(training.status)) json["actions"].push_back(to_string(action));
  return json;
}

Json training_json(const TrainingRow& training, const std::vector<LatestMetric>& latest) {
  Json json = training_state_json(training);
  json["metrics"] = Json::object();
  for (const LatestMetric& metric : latest)
    json["metrics"][metric.name] = metric.value ? Json(*metric.value) : Json(nullptr);
  json["config"] = Json::parse(training.config);
  return json;
}

}  // namespace saemill::api
