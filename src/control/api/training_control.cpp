// Endpoint: pause, resume, finish, cancel, retry, checkpoint, hold, release and prioritize.
#include "control/api/endpoints.h"
#include "control/api/planning.h"
#include "control/api/problem.h"
#include "control/api/training_json.h"
#include "control/api/training_request.h"

namespace saemill::api {
namespace {

constexpr size_t kLongestCheckpoint = 100;  // bytes of a name; no longer one is there

Action action_of(const Members& body) {
  std::vector<std::string> names;
  for (int i = 0; i < kActions; ++i) names.emplace_back(to_string(static_cast<Action>(i)));
  return *saemill::action_of(body.one_of("action", names));
}

// Which actions put a training in its place anew, and may say where.
void refuse_idle_members(const Members& body, Action action) {
  const bool places = action == Action::resume || action == Action::retry || action == Action::finish;
  const bool orders = action == Action::resume || action == Action::retry || action == Action::hold ||
                      action == Action::release || action == Action::prioritize;
  const bool continues = action == Action::resume || action == Action::retry;
  for (const char* name : {"gpu_ids", "device_count"})
    if (body.has(name) && !places)
      refuse_member(name,
                    fmt::format("{} takes no {}; with it: resume, retry, finish", to_string(action), name),
                    "resume, retry, finish");
  if (body.has("priority") && !orders)
    refuse_member("priority",
                  fmt::format("{} takes no priority; with it: resume, retry, hold, release, prioritize",
                              to_string(action)),
                  "resume, retry, hold, release, prioritize");
  if (body.has("checkpoint") && !continues)
    refuse_member("checkpoint",
                  fmt::format("{} takes no checkpoint; with it: resume, retry", to_string(action)),
                  "resume, retry");
}

// How much memory its configuration, which is resolved, takes of each of these devices.
int64_t memory_of(const Services& services, const Snapshot& snapshot, const TrainingRow& row,
                  const AskedDevices& devices) {
  const AskedTraining asked{run_config_from_json(nlohmann::json::parse(row.config)), std::nullopt};
  try {
    return estimate_asked(asked,
                          estimate_devices(snapshot, names_of(snapshot, devices), services.gpu_constants))
        .memory_required;
  } catch (const Problem& problem) {
    throw Problem(422, "invalid_request", problem.what(),
                  {{devices.names.empty() ? "/device_count" : "/gpu_ids", "invalid_value", problem.what(),
                    nullptr, nullptr}});
  }
}

void read_devices(const Services& services, const Members& body, const TrainingRow& row,
                  ControlRequest& request) {
  if (!body.has("gpu_ids") && !body.has("device_count")) return;
  const auto snapshot = snapshot_of(services);
  AskedDevices devices = asked_devices(*snapshot, body);
  check_devices(*snapshot, devices, memory_of(services, *snapshot, row, devices));
  if (devices.names.empty())
    request.device_count = devices.count;
  else
    request.device_uuids = devices.uuids;
}

// A checkpoint that is not there: 422, with those that are.
[[noreturn]] void refuse_checkpoint(const Services& services, const TrainingRow& row, const std::string& name,
                                    const Refused& refused) {
  Json names = Json::array();
  for (const CheckpointRow& one : services.checkpoints->list(row.id)) names.push_back(one.name);
  throw Problem(422, "invalid_request", refused.what(),
                {{"/checkpoint", "does_not_exist", refused.what(), name, names}});
}

TrainingRow ask(const Services& services, const TrainingRow& row, const ControlRequest& request) {
  return ask_jobs([&] {
    try {
      return services.control_training(row.id, request);
    } catch (const Refused& refused) {
      if (refused.code() == "no_checkpoint") refuse_checkpoint(services, row, *request.checkpoint, refused);
      throw;
    }
  });
}

}  // namespace

HttpResponse control_training(Services& services, const Request& request) {
  const Members body(request.body, {"action", "gpu_ids", "device_count", "priority", "checkpoint"});
  ControlRequest asked;
  asked.action = action_of(body);
  refuse_idle_members(body, asked.action);
  const TrainingRow row = training_of(services, request);
  read_devices(services, body, row, asked);
  if (body.has("priority") || asked.action == Action::prioritize)
    asked.priority = body.integer("priority", 0, 100);
  if (body.has("checkpoint")) asked.checkpoint = body.text("checkpoint").substr(0, kLongestCheckpoint);
  // Before: an error of the store afterwards would hide that it was done.
  const auto metrics = services.training_metrics->latest(row.id);
  const TrainingRow after = ask(services, row, asked);
  return json_response(training_json(after, metrics), 202);
}

}  // namespace saemill::api
