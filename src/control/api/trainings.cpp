// Endpoints: trainings, from the request that creates them to their end.
#include "control/api/endpoints.h"
#include "control/api/problem.h"
#include "control/api/training_group.h"
#include "control/api/training_json.h"
#include "control/api/training_merge.h"
#include "control/api/training_request.h"

namespace saemill::api {
namespace {

Json full_json(const Services& services, const TrainingRow& row) {
  return training_json(row, services.training_metrics->latest(row.id));
}

std::vector<std::string> and_also(std::vector<std::string> names, const std::vector<std::string>& more) {
  names.insert(names.end(), more.begin(), more.end());
  return names;
}

TrainingRow defaults() {
  TrainingRow row;
  row.max_restarts = 3;
  return row;
}

std::vector<TrainingStatus> statuses(const Request& request) {
  std::vector<TrainingStatus> found;
  for (const std::string& word : request.list("status")) {
    const auto status = training_status_of(word);
    if (!status) {
      const char* accepted =
          "queued, starting, running, pausing, paused, finalizing, completed, failed, cancelled; several "
          "separated by commas";
      const std::string message =
          fmt::format("the parameter status names \"{}\"; accepted: {}", word.substr(0, 100), accepted);
      throw Problem(400, "invalid_parameter", message,
                    {{"?status", "invalid_parameter", message, word.substr(0, 100), accepted}});
    }
    found.push_back(*status);
  }
  return found;
}

}  // namespace

HttpResponse create_trainings(Services& services, const Request& request) {
  const Members body(request.body, and_also({"config"}, queue_members()));
  const std::vector<GroupMember> members = expand_group(body.at("config"));
  if (members.size() > 1 && body.has("gpu_ids"))
    refuse_member("gpu_ids",
                  "the configuration makes a group, whose trainings each take devices of their own; "
                  "accepted: device_count",
                  "device_count");
  const NewTraining training = read_new_training(services, body, defaults());
  const Services once = asking_once(services);
  std::vector<TrainingRow> rows;
  for (const GroupMember& member : members) {
    try {
      rows.push_back(with_config(once, training, member.config));
    } catch (const Problem& problem) {
      throw problem_of_member(problem, member);
    }
  }
  const bool group = rows.size() > 1;
  const auto created = ask_jobs([&] { return services.create_trainings(std::move(rows), training.now); });
  // Asks the store for nothing any more: an error now would hide that they were created.
  if (!group) return json_response(training_json(created.front(), {}), 201);
  Json data = Json::array();
  for (const TrainingRow& row : created) data.push_back(training_json(row, {}));
  return json_response({{"group_id", created.front().group_id.value_or("")}, {"data", std::move(data)}}, 201);
}

HttpResponse list_trainings(Services& services, const Request& request) {
  TrainingQuery query;
  query.status = statuses(request);
  query.group_id = request.text("group_id");
  query.page = request.integer("page", 1, 1, 1'000'000);
  query.limit = request.integer("limit", 50, 1, Trainings::kMostPerPage);
  const TrainingPage found = services.trainings->list(query);
  Json data = Json::array();
  std::vector<std::string> ids;
  for (const TrainingRow& row : found.trainings) ids.push_back(row.id);
  auto metrics = services.training_metrics->latest(ids);
  for (const TrainingRow& row : found.trainings) data.push_back(training_json(row, metrics[row.id]));
  return page_response(std::move(data), query.page, query.limit, found.total);
}

HttpResponse one_training(Services& services, const Request& request) {
  return json_response(full_json(services, training_of(services, request)));
}

HttpResponse erase_training(Services& services, const Request& request) {
  const TrainingRow row = training_of(services, request);
  ask_jobs([&] { services.erase_training(row.id); });
  HttpResponse response;
  response.status = 204;
  return response;
}

HttpResponse duplicate_training(Services& services, const Request& request) {
  const Json& asked = request.body.is_null() ? Json::object() : request.body;
  const Members body(asked, and_also({"overrides", "name"}, queue_members()));
  const TrainingRow original = training_of(services, request);
  TrainingRow row = defaults();
  row.asked_gpu_ids = original.asked_gpu_ids, row.device_count = original.device_count;
  row.priority = original.priority, row.time_limit_s = original.time_limit_s;
  row.max_restarts = original.max_restarts;
  Json overrides = body.has("overrides") ? body.at("overrides") : Json::object();
  MergedConfig merged = merge_config(Json::parse(original.config), overrides);
  if (body.has("name")) {
    merged.config["name"] = body.text("name");
    merged.given["name"] = "/name";
  }
  const NewTraining training = read_new_training(services, body, row);
  try {
    row = with_config(services, training, merged.config);
  } catch (const Problem& problem) {
    throw problem_of_merge(problem, merged);
  }
  const auto created = ask_jobs([&] { return services.create_trainings({std::move(row)}, training.now); });
  return json_response(training_json(created.front(), {}), 201);
}

}  // namespace saemill::api
