// saemill rm: deletes trainings with all they left.
#include <chrono>
#include <cstdio>
#include <thread>

#include "commands.h"
#include "common/base/clock.h"
#include "common/base/error.h"
#include "text_table.h"
#include "trainings_client.h"
#include "watch.h"

namespace saemill {
namespace {

using Json = nlohmann::ordered_json;

constexpr double kPatience = 120;  // s for processes that were told to end: the longest saving is awaited

struct Options {
  ServerChoice server;
  std::vector<std::string> ids;
  bool force = false, json = false;
};

// What is queued, paused or has ended needs none. One that ends by itself meanwhile is as good.
void cancel(TrainingsClient& client, const std::string& id) {
  try {
    client.http().json("POST", training_target(id, "/control"), R"({"action": "cancel"})");
  } catch (const net::AnswerError& error) {
    if (error.code() != "bad_state") throw;
  }
}

int remove(TrainingsClient& client, const Json& training, const Options& options) {
  const std::string id = text_of(training, "id");
  if (options.force) cancel(client, id);
  for (const double end = monotonic_seconds() + kPatience;;) {
    const net::Answer answer = client.http().request("DELETE", training_target(id));
    if (answer.ok()) break;
    const net::AnswerError error(client.url(), answer);
    if (error.code() != "bad_state") throw error;
    if (!options.force) fail(ErrorCode::usage, "{}; --force cancels it first", error.problem());
    if (monotonic_seconds() > end)
      fail(ErrorCode::retry, "its processes have not ended within {:.0f} seconds", kPatience);
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
  }
  put(options.json ? Json{{"id", id}, {"deleted", true}}.dump() + "\n"
                   : fmt::format("{}  {}  deleted\n", id, printable(text_of(training, "name"))));
  return 0;
}

int run(const Options& options) {
  TrainingsClient client(options.server);
  return run_for_each(client.find(options.ids),
                      [&](const Json& training) { return remove(client, training, options); });
}

}  // namespace

void add_rm(CLI::App& app, Command& chosen) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("rm", "Delete trainings, with their metrics, checkpoints, SAEs and logs");
  add_ids(*command, options->ids);
  command->add_flag("-f,--force", options->force,
                    "Cancel those that run first, and wait until their processes have ended");
  add_server_options(*command, options->server);
  command->add_flag("--json", options->json, "{id, deleted} on one line");
  command->callback([options, &chosen] { chosen = [options] { return run(*options); }; });
}

}  // namespace saemill
