// saemill ps: the trainings of the server.
#include <algorithm>
#include <array>

#include "commands.h"
#include "common/base/clock.h"
#include "common/base/error.h"
#include "device_words.h"
#include "gpus_table.h"
#include "text_table.h"
#include "trainings_client.h"
#include "watch.h"

namespace saemill {
namespace {

using Json = nlohmann::ordered_json;

constexpr double kDay = 86400;
constexpr const char* kNotEnded = "queued,starting,running,pausing,paused,finalizing";
constexpr const char* kEnded = "completed,failed,cancelled";

struct Options {
  ServerChoice server;
  bool all = false, watch = false, json = false;
  double interval = 2;
  std::vector<std::string> status;
};

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ",") + word;
  return text;
}

double time_of(const Json& training, const char* member) {
  return parse_utc_time(text_of(training, member)).value_or(0);
}

// The newest last.
std::vector<Json> trainings(TrainingsClient& client, const Options& options) {
  const bool some = !options.all && options.status.empty();
  std::vector<Json> found = client.list(some ? kNotEnded : joined(options.status));
  // Of the others one page: who has thousands of trainings does not want to read them for those of a day.
  if (some)
    for (Json& training : client.list(kEnded, 1))
      if (time_of(training, "completed_at") > epoch_seconds() - kDay) found.push_back(std::move(training));
  std::reverse(found.begin(), found.end());
  std::stable_sort(found.begin(), found.end(), [](const Json& a, const Json& b) {
    return text_of(a, "created_at") < text_of(b, "created_at");
  });
  return found;
}

// "5m", "3h", "2d".
std::string age(double seconds) {
  struct Unit {
    double seconds;
    char name;
  };
  constexpr std::array<Unit, 3> kUnits{{{86400, 'd'}, {3600, 'h'}, {60, 'm'}}};
  for (const Unit& unit : kUnits)
    if (seconds >= 2 * unit.seconds || (unit.name == 'm' && seconds >= unit.seconds))
      return fmt::format("{}{}", static_cast<int64_t>(seconds / unit.seconds), unit.name);
  return fmt::format("{}s", static_cast<int64_t>(std::max(seconds, 0.0)));
}

std::string metric(const Json& training, const char* name, const char* format, double scale = 1) {
  const auto metrics = training.find("metrics");
  if (metrics == training.end() || !metrics->is_object()) return "-";
  const auto value = metrics->find(name);
  if (value == metrics->end() || !value->is_number()) return "-";
  return fmt::format(fmt::runtime(format), value->get<double>() / scale);
}

std::string speed(const Json& training) {
  if (text_of(training, "status") != "running") return "-";
  return metric(training, "activations_per_second", "{:.1f}k/s", 1e3);
}

std::string steps(const Json& training) {
  return fmt::format("{}/{} {:3.0f}%", training.value("current_step", int64_t{0}),
                     training.value("total_steps", int64_t{0}), training.value("progress", 0.0));
}

const char* color_of(const std::string& status) {
  if (status == "failed") return "31";
  if (status == "running" || status == "completed") return "32";
  if (status == "queued" || status == "paused") return "33";
  return status == "cancelled" ? "35" : "36";
}

std::vector<TextCell> row(const Json& training) {
  const std::string status = text_of(training, "status");
  return {{text_of(training, "id")},  {text_of(training, "name")},
          {status, color_of(status)}, {devices_of(training)},
          {steps(training)},          {metric(training, "fvu", "{:.4f}")},
          {speed(training)},          {age(epoch_seconds() - time_of(training, "created_at"))},
          {reason_of(training)}};
}

std::string text(TrainingsClient& client, const Options& options) {
  const std::vector<Json> found = trainings(client, options);
  if (options.json) {
    const Json pagination{{"page", 1},
                          {"limit", std::max<size_t>(found.size(), 1)},
                          {"total", found.size()},
                          {"total_pages", found.empty() ? 0 : 1}};
    return Json{{"data", found}, {"pagination", pagination}}.dump() + "\n";
  }
  if (found.empty())
    return options.all || !options.status.empty() ? "no trainings\n"
                                                  : "no trainings of today; --all shows those before\n";
  const std::vector<Column> columns{{"ID"},
                                    {"NAME", 32},
                                    {"STATUS"},
                                    {"DEVICES", 24},
                                    {"STEP/TOTAL", 30, true},
                                    {"FVU", 10, true},
                                    {"SPEED", 12, true},
                                    {"AGE", 6, true},
                                    {"REASON"}};
  std::vector<std::vector<TextCell>> rows;
  for (const Json& training : found) rows.push_back(row(training));
  const TableStyle style = style_of_terminal();
  return text_table(columns, rows, static_cast<size_t>(style.width), style.color);
}

int run(const Options& options) {
  if (!options.watch) {
    TrainingsClient client(options.server);
    put(text(client, options));
    return 0;
  }
  const Interrupt interrupt;
  TrainingsClient client(options.server);
  return watch(interrupt, options.interval, options.json, [&] { return text(client, options); });
}

}  // namespace

void add_ps(CLI::App& app, Command& chosen) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand(
      "ps", "The server's trainings: those that have not ended, and those that did within a day");
  command->add_flag("--all", options->all, "All of them");
  command
      ->add_option("--status", options->status,
                   "Only those that are queued, starting, running, pausing, paused, finalizing, completed, "
                   "failed or cancelled; several separated by commas")
      ->type_name("STATUS")
      ->delimiter(',')
      ->expected(1)
      ->take_all();
  command->add_flag("--watch", options->watch, "Show again and again, in place, until Ctrl-C");
  command->add_option("--interval", options->interval, "Seconds between two looks of --watch")
      ->check(CLI::Range(0.25, 60.0))
      ->capture_default_str();
  add_server_options(*command, options->server);
  command->add_flag("--json", options->json, "{data[], pagination} on one line");
  command->callback([options, &chosen] { chosen = [options] { return run(*options); }; });
}

}  // namespace saemill
