// Endpoints: what a training has written, from its run folder: checkpoints and the SAE.
#include "common/base/clock.h"
#include "control/api/endpoints.h"
#include "control/api/file_answer.h"
#include "control/api/problem.h"
#include "control/api/served_folder.h"
#include "control/api/training_request.h"
#include "control/store/checkpoints.h"
#include "control/store/trainings.h"

namespace saemill::api {
namespace {

HttpResponse list_of(const ServedFolder& folder) {
  Json data = Json::array();
  for (const ServedFile& file : folder.files()) data.push_back({{"name", file.name}, {"bytes", file.bytes}});
  return json_response({{"data", std::move(data)}});
}

HttpResponse file_of(const ServedFolder& folder, const std::string& name, const std::string& where) {
  if (auto file = folder.open_file(name)) return file_response(std::move(file));
  throw Problem(404, "not_found", fmt::format("there is no file \"{}\" in {}", name.substr(0, 100), where));
}

ServedFolder checkpoint_of(const Services& services, const Request& request) {
  const TrainingRow training = training_of(services, request);
  const std::string name = request.path_of("name");
  auto folder = ServedFolder::open(services.run_folder(training.id), {"checkpoints", name});
  if (folder) return std::move(*folder);
  throw Problem(
      404, "not_found",
      fmt::format("there is no checkpoint \"{}\" of training {}", name.substr(0, 100), training.id));
}

// It is put in its place in one step, so where it is, it is finished.
ServedFolder sae_of(const Services& services, const Request& request) {
  const TrainingRow training = training_of(services, request);
  auto folder = ServedFolder::open(services.run_folder(training.id), {"sae"});
  if (folder) return std::move(*folder);
  throw Problem(
      409, "bad_state",
      fmt::format("training {} is {} and has no finished SAE yet", training.id, to_string(training.status)));
}

}  // namespace

HttpResponse list_checkpoints(Services& services, const Request& request) {
  const TrainingRow training = training_of(services, request);
  Json data = Json::array();
  for (const CheckpointRow& row : services.checkpoints->list(training.id))
    data.push_back({{"name", row.name},
                    {"step", row.step},
                    {"bytes", row.bytes},
                    {"time", utc_time((static_cast<double>(row.time_ms) + 0.5) / 1e3)}});
  return json_response({{"data", std::move(data)}});
}

HttpResponse list_checkpoint_files(Services& services, const Request& request) {
  return list_of(checkpoint_of(services, request));
}

HttpResponse erase_checkpoint(Services& services, const Request& request) {
  const TrainingRow training = training_of(services, request);
  ask_jobs([&] { services.erase_checkpoint(training.id, request.path_of("name")); });
  HttpResponse response;
  response.status = 204;
  return response;
}

HttpResponse get_checkpoint_file(Services& services, const Request& request) {
  return file_of(checkpoint_of(services, request), request.path_of("file"), "this checkpoint");
}

HttpResponse list_sae_files(Services& services, const Request& request) {
  return list_of(sae_of(services, request));
}

HttpResponse get_sae_file(Services& services, const Request& request) {
  return file_of(sae_of(services, request), request.path_of("file"), "this SAE");
}

}  // namespace saemill::api
