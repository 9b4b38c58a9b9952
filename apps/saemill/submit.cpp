// saemill submit: gives a configuration to the server, which trains it when it is its turn.
#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <thread>

#include "commands.h"
#include "common/base/error.h"
#include "common/protocol/run_config.h"
#include "control/api/secret.h"
#include "device_words.h"
#include "trainings_client.h"
#include "watch.h"

namespace saemill {
namespace {

using Json = nlohmann::ordered_json;

constexpr double kPatience = 60;  // s for one answer: the server looks at the activations first
constexpr int kTries = 3;

struct Options {
  ServerChoice server;
  std::string config, name, time_limit;
  std::vector<std::string> overrides, after;
  AskedPlace place;
  int64_t max_restarts = -1;  // -1: the server's default
  bool hold = false, now = false, json = false;
};

// Seconds of "3600", "90m", "2h", "1d12h". Error{usage}: something else.
int64_t seconds_of(const std::string& text) {
  constexpr int64_t kMost = int64_t{1} << 31;
  const auto refuse = [&] {
    fail(ErrorCode::usage, "--time-limit {}; accepted: seconds, or numbers with d, h, m, s, as 90m or 1d12h",
         text);
  };
  int64_t total = 0;
  const char *at = text.data(), *end = text.data() + text.size();
  if (at == end) refuse();
  while (at < end) {
    int64_t number = 0;
    const auto [rest, error] = std::from_chars(at, end, number);
    if (error != std::errc() || number < 0 || number > kMost) refuse();
    const char unit = rest < end ? *rest : 's';
    const int64_t scale = unit == 'd' ? 86400 : unit == 'h' ? 3600 : unit == 'm' ? 60 : unit == 's' ? 1 : 0;
    if (scale == 0) refuse();
    total += number * scale;
    at = rest < end ? rest + 1 : end;
  }
  if (total < 1 || total > kMost) refuse();
  return total;
}

// The server has another current folder.
void make_absolute(nlohmann::json& path) {
  if (path.is_array())
    for (nlohmann::json& one : path) make_absolute(one);
  if (!path.is_string() || path.get_ref<const std::string&>().empty()) return;
  const auto full = std::filesystem::absolute(path.get<std::string>());
  const bool climbs = std::find(full.begin(), full.end(), "..") != full.end();  // maybe out of a link
  path = climbs ? full.string() : full.lexically_normal().string();
}

nlohmann::json config_of(const Options& options) {
  nlohmann::json tree = load_config_tree(options.config, options.overrides);
  if (!tree.is_object())
    fail(ErrorCode::bad_config, "{}: the configuration is not an object but {}", options.config,
         tree.type_name());
  if (!options.name.empty()) tree["name"] = options.name;
  const auto activations = tree.find("activations");
  if (activations != tree.end() && activations->is_object() && activations->contains("path"))
    make_absolute((*activations)["path"]);
  return tree;
}

std::string body_of(const Options& options, TrainingsClient& client) {
  nlohmann::json body{{"config", config_of(options)}};
  add_place(body, options.place);
  if (options.now) body["start"] = "now";
  if (options.hold) body["hold"] = true;
  if (!options.time_limit.empty()) body["time_limit_s"] = seconds_of(options.time_limit);
  if (options.max_restarts >= 0) body["max_restarts"] = options.max_restarts;
  for (const Json& training : client.find(options.after)) body["after"].push_back(text_of(training, "id"));
  try {
    return body.dump();
  } catch (const nlohmann::json::exception&) {
    fail(ErrorCode::bad_config, "{}: holds bytes that are no UTF-8", options.config);
  }
}

// However often it is sent, the server does it once.
Json post_once(const Options& options, net::Client& http, const std::string& body) {
  const net::Headers headers{{"Idempotency-Key", api::random_secret()}};
  for (int tries = 1;; ++tries) {
    try {
      return http.json("POST", "/api/v1/trainings", body, headers);
    } catch (const net::AnswerError& error) {
      const bool may_pass = error.code() == "idempotency_under_way" || error.status() == 503;
      if (error.code() == "invalid_config")
        fail(ErrorCode::bad_config, "{}: {}", options.config, error.problem());
      if (!may_pass || tries == kTries) throw;
    } catch (const Error& error) {
      if (error.code() != ErrorCode::retry || tries == kTries) throw;
    }
    std::this_thread::sleep_for(std::chrono::seconds(tries));
  }
}

int run(const Options& options) {
  TrainingsClient client(options.server);
  const std::string body = body_of(options, client);
  net::Client patient(client.http().address(), kPatience);
  Json answer;
  try {
    answer = post_once(options, patient, body);
  } catch (const net::AnswerError& error) {
    if (error.code() != "gpu_unavailable") throw;
    std::fprintf(stderr, "saemill: it does not start now: %s\n", error.problem().c_str());
    return 1;
  }
  if (options.json) return put(answer.dump() + "\n"), 0;
  if (!answer.contains("data")) return put(training_line(answer)), 0;
  for (const Json& training : answer["data"]) put(training_line(training));
  return 0;
}

}  // namespace

void add_submit(CLI::App& app, Command& chosen) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("submit", "Give a training to the server, which runs it when it is its turn");
  command->add_option("config", options->config, "CONFIG.toml (or .json)")->required();
  command
      ->add_option("--set", options->overrides,
                   "A key and its value, as train.lr=3e-4; may be repeated; a list, as sae.k=[16,32], makes "
                   "a training of each of its values")
      ->type_name("KEY=VALUE")
      ->expected(1)
      ->take_all();
  add_place_options(*command, options->place);
  add_priority_option(*command, options->place);
  CLI::Option* hold = command->add_flag("--hold", options->hold, "It waits until `saemill release`");
  command->add_flag("--now", options->now, "At once or not at all; exit code 1 where its devices are busy")
      ->excludes(hold);
  command
      ->add_option("--after", options->after,
                   "A training that must be completed before; repeatable, or several separated by commas")
      ->type_name("ID")
      ->delimiter(',')
      ->expected(1)
      ->take_all();
  command->add_option("--time-limit", options->time_limit, "3600 (seconds), 90m, 2h, 1d12h")
      ->type_name("TIME");
  command
      ->add_option("--max-restarts", options->max_restarts,
                   "How often it is started again when a rank or device is lost; default 3")
      ->check(CLI::Range(0, 1000));
  command->add_option("--name", options->name, "Instead of the configuration's name");
  add_server_options(*command, options->server);
  command->add_flag("--json", options->json, "What the server answers, on one line");
  command->callback([options, &chosen] { chosen = [options] { return run(*options); }; });
}

}  // namespace saemill
