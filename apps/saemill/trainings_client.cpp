#include "trainings_client.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <set>
#include <thread>

#include "common/base/clock.h"
#include "common/base/error.h"
#include "text_table.h"

namespace saemill {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kPerPage = 500;
constexpr size_t kIdLength = 16, kShortestPrefix = 4;
constexpr double kPatience = 30;  // seconds

bool could_be_id(const std::string& word) {
  return word.size() == kIdLength && std::all_of(word.begin(), word.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
         });
}

bool is_named(const Json& training, const std::string& word) {
  const std::string id = text_of(training, "id");
  return id == word || text_of(training, "name") == word ||
         (word.size() >= kShortestPrefix && id.starts_with(word));
}

[[noreturn]] void refuse_ambiguous(const std::string& word, const std::vector<const Json*>& meant) {
  constexpr size_t kMostShown = 10;
  std::string text;
  for (size_t i = 0; i < std::min(meant.size(), kMostShown); ++i)
    text += fmt::format("\n  {}  {}  {}", text_of(*meant[i], "id"), printable(text_of(*meant[i], "name")),
                        text_of(*meant[i], "status"));
  if (meant.size() > kMostShown) text += "\n  ...";
  fail(ErrorCode::usage, "\"{}\" could be {} trainings; accepted: one of their ids{}", printable(word),
       meant.size(), text);
}

const Json& meant_by(const std::string& word, const std::vector<Json>& all) {
  std::vector<const Json*> meant;
  for (const Json& training : all) {
    if (text_of(training, "id") == word) return training;
    if (is_named(training, word)) meant.push_back(&training);
  }
  if (meant.empty())
    fail(ErrorCode::usage,
         "there is no training \"{}\"; accepted: an id, its beginning of at least {} characters, or a name",
         printable(word), kShortestPrefix);
  if (meant.size() > 1) refuse_ambiguous(word, meant);
  return *meant.front();
}

}  // namespace

TrainingsClient::TrainingsClient(const ServerChoice& choice) : client_(need_server(choice)) {}

std::vector<Json> TrainingsClient::list(const std::string& status, size_t most) {
  std::vector<Json> found;
  std::set<std::string> seen;  // one that comes meanwhile moves the others to the next page
  for (int page = 1;; ++page) {
    const Json answer =
        client_.json("GET", fmt::format("/api/v1/trainings?page={}&limit={}{}{}", page, kPerPage,
                                        status.empty() ? "" : "&status=", escaped(status)));
    const Json& data = answer.at("data");
    for (const Json& training : data)
      if (seen.insert(text_of(training, "id")).second) found.push_back(training);
    if (data.size() < kPerPage || found.size() >= most) return found;
  }
}

Json TrainingsClient::get(const std::string& id) {
  return client_.json("GET", training_target(id));
}

Json TrainingsClient::get_patiently(const std::string& target) {
  for (const double end = monotonic_seconds() + kPatience;;) {
    try {
      return client_.json("GET", target);
    } catch (const Error& error) {
      if (error.code() != ErrorCode::retry || monotonic_seconds() > end) throw;
      std::this_thread::sleep_for(std::chrono::milliseconds(500));
    }
  }
}

std::vector<Json> TrainingsClient::find(const std::vector<std::string>& words) {
  std::vector<Json> found, all;
  for (const std::string& word : words) {
    if (could_be_id(word)) {
      const net::Answer answer = client_.request("GET", training_target(word));
      if (answer.ok()) {
        found.push_back(Json::parse(answer.body));
        continue;
      }
      if (answer.status != 404) throw net::AnswerError(url(), answer);
    }
    if (all.empty()) all = list();
    found.push_back(meant_by(word, all));
  }
  // One that is named twice is meant once.
  std::set<std::string> seen;
  std::erase_if(found, [&](const Json& one) { return !seen.insert(text_of(one, "id")).second; });
  return found;
}

std::string training_target(const std::string& id, const std::string& rest) {
  return "/api/v1/trainings/" + escaped(id) + rest;
}

std::string escaped(const std::string& segment) {
  std::string text;
  for (const char c : segment) {
    const bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                       std::string_view("-_.~,").find(c) != std::string_view::npos;
    text += plain ? std::string(1, c) : fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return text;
}

std::string text_of(const Json& training, const char* member) {
  const auto found = training.find(member);
  return found != training.end() && found->is_string() ? found->get<std::string>() : "";
}

std::string reason_of(const Json& training) {
  const std::string error = text_of(training, "error");
  if (!error.empty()) return error;
  const auto reason = training.find("reason");
  return reason != training.end() && reason->is_object() ? text_of(*reason, "message") : "";
}

std::string training_line(const Json& training) {
  const std::string reason = printable(reason_of(training));
  return fmt::format("{}  {}  {}{}{}\n", text_of(training, "id"), printable(text_of(training, "name")),
                     text_of(training, "status"), reason.empty() ? "" : "  ", reason);
}

bool has_ended(const std::string& status) {
  return status == "completed" || status == "failed" || status == "cancelled";
}

int run_for_each(const std::vector<Json>& trainings, const std::function<int(const Json&)>& work) {
  int first = 0;
  for (const Json& training : trainings) {
    int code = 0;
    try {
      code = work(training);
    } catch (const Error& error) {
      std::fprintf(stderr, "saemill: %s: %s\n", text_of(training, "id").c_str(), error.what());
      code = error.exit_code();
    }
    if (first == 0) first = code;
  }
  return first;
}

std::string checkpoint_named(TrainingsClient& client, const std::string& id, const std::string& word) {
  const Json checkpoints = client.http().json("GET", training_target(id, "/checkpoints")).at("data");
  std::string known;
  for (const Json& one : checkpoints) {
    const std::string name = text_of(one, "name");
    if (name == word || std::to_string(one.value("step", int64_t{-1})) == word) return name;
    known += (known.empty() ? "" : ", ") + name;
  }
  fail(ErrorCode::usage, "--checkpoint {}: there is none; accepted: {}", word,
       known.empty() ? "nothing, the training has no checkpoints" : known);
}

void add_ids(CLI::App& command, std::vector<std::string>& ids) {
  command.add_option("ids", ids, "Ids, beginnings of ids (at least 4 characters), or names")
      ->required()
      ->type_name("ID...");
}

}  // namespace saemill
