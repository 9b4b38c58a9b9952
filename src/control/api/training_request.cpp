#include "control/api/training_request.h"

#include <map>

#include "control/api/planning.h"

namespace saemill::api {
namespace {

constexpr size_t kMostAfter = 256;
constexpr int64_t kLongestLimit = 1'000'000'000;  // s
constexpr size_t kLongestName = 1000;

[[noreturn]] void refuse(const std::string& pointer, const char* code, const std::string& message,
                         const Json& value, const Json& accepted) {
  throw Problem(422, "invalid_request", message, {{pointer, code, message, value, accepted}});
}

// Ids of trainings that are there and may still be completed.
Json trainings_before(const Services& services, const Members& body) {
  const std::vector<std::string> ids = body.texts("after", kMostAfter);
  for (size_t i = 0; i < ids.size(); ++i) {
    const std::string pointer = fmt::format("/after/{}", i), shown = ids[i].substr(0, 100);
    const auto found = services.trainings->find(ids[i]);
    if (!found)
      refuse(pointer, "does_not_exist", fmt::format("there is no training {}", shown), shown,
             "ids of trainings");
    if (found->status == TrainingStatus::failed || found->status == TrainingStatus::cancelled)
      refuse(pointer, "bad_state",
             fmt::format("training {} is {}: what waits for it would not start", shown,
                         to_string(found->status)),
             shown, "trainings that are neither failed nor cancelled");
  }
  return ids;
}

void read_limits(const Members& body, TrainingRow& row) {
  if (body.has("priority")) row.priority = body.integer("priority", 0, 100);
  if (body.has("time_limit_s")) row.time_limit_s = body.integer("time_limit_s", 1, kLongestLimit);
  if (body.has("max_restarts")) row.max_restarts = body.integer("max_restarts", 0, 1000);
  if (body.has("hold")) row.held = body.flag("hold");
}

// Of the row that is duplicated, or the default.
AskedDevices devices_of(const TrainingRow& row) {
  AskedDevices devices;
  devices.count = row.device_count;
  if (row.asked_gpu_ids) devices.names = Json::parse(*row.asked_gpu_ids).get<std::vector<std::string>>();
  return devices;
}

void check_name(const std::string& name) {
  if (!name.empty() && name.size() <= kLongestName) return;
  const std::string accepted = fmt::format("1 to {} bytes", kLongestName);
  const std::string message = fmt::format("name has {} bytes; accepted: {}", name.size(), accepted);
  throw Problem(422, "invalid_config", message,
                {{"/config/name", "invalid_value", message, nullptr, accepted}});
}

}  // namespace

const std::vector<std::string>& queue_members() {
  static const std::vector<std::string> names = {"gpu_ids", "device_count", "start",        "priority",
                                                 "after",   "time_limit_s", "max_restarts", "hold"};
  return names;
}

NewTraining read_new_training(const Services& services, const Members& body, const TrainingRow& otherwise) {
  NewTraining training{otherwise, {}, false};
  TrainingRow& row = training.row;
  read_limits(body, row);
  if (body.has("start")) training.now = body.one_of("start", {"queue", "now"}) == "now";
  if (training.now && row.held)
    refuse("/hold", "conflict", "start is now and hold is true; accepted: one of them", true, nullptr);
  if (body.has("after")) row.after = trainings_before(services, body).dump();
  const auto snapshot = snapshot_of(services);
  training.devices = asked_devices(*snapshot, body, devices_of(otherwise));
  check_devices(*snapshot, training.devices);
  row.device_count = training.devices.count;
  row.asked_gpu_ids.reset();
  if (!training.devices.names.empty()) row.asked_gpu_ids = Json(training.devices.uuids).dump();
  return training;
}

TrainingRow with_config(const Services& services, NewTraining training, const Json& config) {
  AskedDevices& devices = training.devices;
  const AskedTraining asked = asked_training(services, config);
  check_name(asked.config.name);
  const RunConfig resolved = resolve_asked(services, asked, devices.count);
  const auto snapshot = snapshot_of(services);  // after the worker, which may take its time
  const EstimateDevices estimated =
      estimate_devices(*snapshot, names_of(*snapshot, devices), services.gpu_constants);
  check_devices(*snapshot, devices, estimate_asked(asked, estimated).memory_required);
  TrainingRow& row = training.row;
  row.config = run_config_to_json(resolved).dump(-1, ' ', false, Json::error_handler_t::replace);
  row.name = resolved.name;
  row.total_steps = resolved.train.steps;
  return row;
}

Services asking_once(const Services& services) {
  using Answers = std::map<std::pair<std::string, std::string>, Json>;
  Services once = services;
  once.inspect = [inspect = services.inspect, answers = std::make_shared<Answers>()](
                     const std::filesystem::path& path, const std::string& tensor) {
    const auto key = std::make_pair(path.string(), tensor);
    const auto known = answers->find(key);
    return known != answers->end() ? known->second : (*answers)[key] = inspect(path, tensor);
  };
  return once;
}

void refuse_member(const std::string& name, const std::string& message, const std::string& accepted) {
  refuse("/" + name, "conflict", message, nullptr, accepted);
}

TrainingRow training_of(const Services& services, const Request& request) {
  const std::string id = request.path_of("id");
  if (auto found = services.trainings->find(id)) return *std::move(found);
  throw Problem(404, "not_found", fmt::format("there is no training {}", id.substr(0, 100)));
}

}  // namespace saemill::api
