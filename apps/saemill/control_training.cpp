// saemill pause, resume, finish, cancel, retry, hold, release, prioritize, checkpoint: what may be asked of
// trainings.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <thread>

#include "commands.h"
#include "common/base/error.h"
#include "device_words.h"
#include "trainings_client.h"
#include "watch.h"

namespace saemill {
namespace {

using Json = nlohmann::ordered_json;
using Words = std::vector<std::string>;

struct ActionWords {
  const char* name;
  const char* help;
  bool places = false, orders = false;  // takes devices, takes a priority
  Words on_the_way = {}, arrived = {};  // of --wait; none: it comes true at once
};

const std::vector<ActionWords>& actions() {
  static const std::vector<ActionWords> all = {
      {"pause", "Save a checkpoint, end, and give the devices back", false, false, {"pausing"}, {"paused"}},
      {"resume",
       "Put paused trainings into the queue again, to go on where they were",
       true,
       true,
       {"queued", "starting"},
       {"running", "finalizing", "completed"}},
      {"finish", "End now, with the SAE as it is", true, false, {"finalizing"}, {"completed"}},
      {"cancel", "End without an SAE; checkpoints stay", false, false, {}, {"cancelled"}},
      {"retry",
       "Put failed or cancelled trainings into the queue again, to go on from their last checkpoint",
       true,
       true,
       {"queued", "starting"},
       {"running", "finalizing", "completed"}},
      {"hold", "Keep trainings in the queue from starting", false, true},
      {"release", "Let held trainings start", false, true},
      {"prioritize", "Give trainings that wait or are paused another place in the queue", false, true},
      {"checkpoint", "Save a checkpoint now, and go on", false, false, {"running"}, {}},
  };
  return all;
}

struct Options {
  ServerChoice server;
  Words ids;
  AskedPlace place;
  std::string checkpoint;
  bool wait = false, json = false;
};

bool is_among(const Words& words, const std::string& word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

bool is_named(const ActionWords& action, std::string_view name) {
  return name == action.name;
}

Json checkpoints_of(TrainingsClient& client, const std::string& id) {
  return client.get_patiently(training_target(id, "/checkpoints")).at("data");
}

// Whether there is one that was not there before.
bool has_saved(TrainingsClient& client, const std::string& id, const Json& before) {
  const Json now = checkpoints_of(client, id);
  return std::any_of(now.begin(), now.end(), [&](const Json& checkpoint) {
    return std::find(before.begin(), before.end(), checkpoint) == before.end();
  });
}

// The training as it is when it has arrived, or is on its way no more.
Json wait_for(TrainingsClient& client, const ActionWords& action, const std::string& id, const Json& before,
              bool& arrived) {
  for (;; std::this_thread::sleep_for(std::chrono::milliseconds(300))) {
    Json training = client.get_patiently(training_target(id));
    const std::string status = text_of(training, "status");
    arrived = is_among(action.arrived, status) || (!before.is_null() && has_saved(client, id, before));
    if (arrived || !is_among(action.on_the_way, status)) return training;
  }
}

void show(const Json& training, const Options& options) {
  put(options.json ? training.dump() + "\n" : training_line(training));
}

struct Asked {
  std::string id;
  Json checkpoints;  // there were before; null: they do not matter
};

Asked ask(TrainingsClient& client, const ActionWords& action, const Options& options, const Json& training) {
  Asked asked{text_of(training, "id"), nullptr};
  const bool saves = options.wait && is_named(action, "checkpoint");
  if (saves) asked.checkpoints = checkpoints_of(client, asked.id);
  nlohmann::json body{{"action", action.name}};
  add_place(body, options.place);
  if (!options.checkpoint.empty())
    body["checkpoint"] = checkpoint_named(client, asked.id, options.checkpoint);
  const Json answer = client.http().json("POST", training_target(asked.id, "/control"), body.dump());
  if (!options.wait) show(answer, options);
  return asked;
}

int run(const ActionWords& action, const Options& options) {
  TrainingsClient client(options.server);
  std::vector<Asked> asked;
  int code = run_for_each(client.find(options.ids), [&](const Json& training) {
    asked.push_back(ask(client, action, options, training));
    return 0;
  });
  if (!options.wait) return code;
  for (const Asked& one : asked) {
    bool arrived = false;
    const Json training = wait_for(client, action, one.id, one.checkpoints, arrived);
    show(training, options);
    if (arrived) continue;
    std::fprintf(stderr, "saemill: %s: %s ended elsewhere: the training is %s\n", one.id.c_str(), action.name,
                 text_of(training, "status").c_str());
    if (code == 0) code = 1;
  }
  return code;
}

}  // namespace

void add_training_actions(CLI::App& app, Command& chosen) {
  for (const ActionWords& action : actions()) {
    auto options = std::make_shared<Options>();
    CLI::App* command = app.add_subcommand(action.name, action.help);
    add_ids(*command, options->ids);
    if (action.places) add_place_options(*command, options->place);
    if (action.orders)
      add_priority_option(*command, options->place)->required(is_named(action, "prioritize"));
    if (is_named(action, "resume") || is_named(action, "retry"))
      command
          ->add_option("--checkpoint", options->checkpoint,
                       "Go on from this one (a step or a name), not the newest; later ones are deleted, and "
                       "their steps trained again")
          ->type_name("STEP");
    if (!action.on_the_way.empty() || !action.arrived.empty())
      command->add_flag("--wait", options->wait,
                        "Until it has come true; exit code 1 where the training ends up elsewhere");
    add_server_options(*command, options->server);
    command->add_flag("--json", options->json, "The training, on one line");
    command->callback(
        [options, &chosen, &action] { chosen = [options, &action] { return run(action, *options); }; });
  }
}

}  // namespace saemill
