#include "control/api/training_logs.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "control/api/endpoints.h"
#include "control/api/log_tail.h"
#include "control/api/problem.h"
#include "control/api/served_folder.h"
#include "control/api/training_request.h"

namespace saemill::api {
namespace {

constexpr int64_t kMostLogBytes = int64_t{4} << 20;
constexpr int64_t kMostOffset = int64_t{1} << 53;
constexpr const char* kLauncher = "launcher";

// Absent: not written as we write numbers of ranks, without zeros in front.
std::optional<int> rank_number(std::string_view text) {
  int rank = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), rank);
  if (error != std::errc() || rank < 0 || std::to_string(rank) != text) return std::nullopt;
  return rank;
}

std::string log_of(const Request& request) {
  const std::string rank = request.text("rank").value_or("0");
  if (rank == kLauncher || rank_number(rank)) return rank;
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
  std::string text;
  for (const TrainingLog& log : logs_of(run)) text += (text.empty() ? "" : ", ") + log.rank;
  return text.empty() ? "none" : text;
}

}  // namespace

std::vector<TrainingLog> logs_of(const std::filesystem::path& run) {
  std::vector<std::pair<int, TrainingLog>> ranks;
  if (const auto folder = ServedFolder::open(run, {"logs"})) {
    for (const ServedFile& file : folder->files()) {
      std::string_view name = file.name;
      if (!name.starts_with("rank-") || !name.ends_with(".log")) continue;
      name.remove_prefix(5), name.remove_suffix(4);
      if (const auto rank = rank_number(name)) ranks.push_back({*rank, {std::string(name), file.bytes}});
    }
  }
  std::sort(ranks.begin(), ranks.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<TrainingLog> logs;
  for (auto& [rank, log] : ranks) logs.push_back(std::move(log));
  if (const auto folder = ServedFolder::open(run, {})) {
    if (const auto file = folder->open_file(log_name(kLauncher))) logs.push_back({kLauncher, file->size()});
  }
  return logs;
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
