// Endpoints: what a training has written, from its run folder: checkpoints, the SAE, logs.
#include <algorithm>
#include <charconv>

#include "common/base/clock.h"
#include "control/api/endpoints.h"
#include "control/api/file_answer.h"
#include "control/api/log_tail.h"
#include "control/api/problem.h"
#include "control/api/served_folder.h"
#include "control/api/training_request.h"
#include "control/store/checkpoints.h"
#include "control/store/trainings.h"

namespace saemill::api {
namespace {

constexpr int64_t kMostLogBytes = int64_t{4} << 20;
constexpr int64_t kMostOffset = int64_t{1} << 53;
constexpr const char* kLauncher = "launcher";

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

// "launcher", or the number of a rank without zeros in front.
std::string log_of(const Request& request) {
  const std::string rank = request.text("rank").value_or("0");
  if (rank == kLauncher) return rank;
  int value = 0;
  const auto [stop, error] = std::from_chars(rank.data(), rank.data() + rank.size(), value);
  if (error == std::errc() && std::to_string(value) == rank && value >= 0) return rank;
  const std::string accepted = "a rank (0, 1, ...) or launcher";
  const std::string message =
      fmt::format("the parameter rank is \"{}\"; accepted: {}", rank.substr(0, 100), accepted);
  throw Problem(400, "invalid_parameter", message,
                {{"?rank", "invalid_parameter", message, rank.substr(0, 100), accepted}});
}

std::string log_name(const std::string& rank) {
  return rank == kLauncher ? "launcher.log" : fmt::format("rank-{}.log", rank);
}

// "0, 1, 10, launcher"
std::string those_with_logs(const std::filesystem::path& run) {
  std::vector<int> ranks;
  if (const auto folder = ServedFolder::open(run, {"logs"})) {
    for (const ServedFile& file : folder->files()) {
      int rank = -1;
      if (file.name.starts_with("rank-"))
        std::from_chars(file.name.data() + 5, file.name.data() + file.name.size(), rank);
      if (rank >= 0 && file.name == log_name(std::to_string(rank))) ranks.push_back(rank);
    }
  }
  std::sort(ranks.begin(), ranks.end());
  std::string text;
  for (const int rank : ranks) text += (text.empty() ? "" : ", ") + std::to_string(rank);
  const auto folder = ServedFolder::open(run, {});
  if (folder && folder->open_file(log_name(kLauncher)))
    text += (text.empty() ? "" : ", ") + std::string(kLauncher);
  return text.empty() ? "none" : text;
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

HttpResponse get_log(Services& services, const Request& request) {
  const std::string rank = log_of(request);
  const int64_t lines = request.integer("tail", 200, 1, 10000);
  const int64_t offset = request.integer("offset", 0, 0, kMostOffset);
  const TrainingRow training = training_of(services, request);
  const std::filesystem::path run = services.run_folder(training.id);
  const auto folder = ServedFolder::open(
      run, rank == kLauncher ? std::vector<std::string>{} : std::vector<std::string>{"logs"});
  std::vector<std::shared_ptr<const OpenFile>> files;
  // A log that grows too long is cut: what was written before is in the second one.
  const auto log = folder ? folder->open_file(log_name(rank)) : nullptr;
  const auto before = folder ? folder->open_file(log_name(rank) + ".1") : nullptr;
  for (const auto& file : {log, before})
    if (file) files.push_back(file);
  if (files.empty())
    throw Problem(404, "not_found",
                  fmt::format("training {} has no log of {}{}; there are logs of: {}", training.id,
                              rank == kLauncher ? "the " : "rank ", rank, those_with_logs(run)));
  LogPart part;
  if (!request.has("offset")) {
    part.text = log_tail(files, lines, kMostLogBytes);
    part.next = log ? end_of_log(*log) : 0;
  } else if (log) {
    part = log_from(*log, offset, kMostLogBytes);
  }
  HttpResponse response;
  response.content_type = "text/plain; charset=utf-8";
  response.headers.emplace_back("X-Next-Offset", std::to_string(part.next));
  response.body = std::move(part.text);
  return response;
}

}  // namespace saemill::api
