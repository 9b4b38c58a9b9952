// saemill logs: what a training printed, or its events; -f goes on until it has ended.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <optional>

#include "commands.h"
#include "common/base/clock.h"
#include "common/base/error.h"
#include "trainings_client.h"
#include "watch.h"

namespace saemill {
namespace {

using Json = nlohmann::ordered_json;

constexpr double kInterval = 0.5;  // s between two looks
constexpr int kEventsPerPage = 500;

struct Options {
  ServerChoice server;
  std::vector<std::string> ids;
  std::string rank = "0";
  int64_t tail = 200;
  bool follow = false, events = false, json = false;
};

// What is new since the last time.
class Source {
 public:
  virtual ~Source() = default;
  virtual std::string next() = 0;
};

class Log : public Source {
 public:
  Log(TrainingsClient& client, const std::string& id, const Options& options)
      : client_(client),
        options_(options),
        target_(training_target(id, "/logs?rank=" + escaped(options.rank))) {}

  // Empty also where there is no log yet, and it is followed.
  std::string next() override {
    const std::string where =
        offset_ ? fmt::format("&offset={}", *offset_) : fmt::format("&tail={}", options_.tail);
    const net::Answer answer = client_.http().request("GET", target_ + where);
    const bool not_yet = answer.status == 404 && options_.follow;
    if (not_yet) return "";
    if (!answer.ok()) throw net::AnswerError(client_.url(), answer);
    const int64_t next = std::atoll(answer.header("X-Next-Offset").c_str());
    if (offset_ && next < *offset_)
      std::fprintf(stderr, "saemill: the log was cut to its end; lines may be missing here\n");
    offset_ = next;
    if (answer.body.empty() || !options_.json) return answer.body;
    return Json{{"rank", options_.rank}, {"text", answer.body}}.dump() + "\n";
  }

 private:
  TrainingsClient& client_;
  const Options& options_;
  std::string target_;
  std::optional<int64_t> offset_;
};

class Events : public Source {
 public:
  Events(TrainingsClient& client, const std::string& id) : client_(client), id_(id) {}

  std::string next() override {
    const Json answer = client_.http().json(
        "GET", training_target(id_, fmt::format("/events?since={}&limit={}", seq_, kEventsPerPage)));
    std::string lines;
    const Json& data = answer.at("data");
    for (const Json& event : data) {
      lines += event.dump() + "\n";
      seq_ = std::max(seq_, event.value("seq", int64_t{0}));
    }
    return lines;
  }

 private:
  TrainingsClient& client_;
  std::string id_;
  int64_t seq_ = -1;
};

// Absent: the server does not answer now.
std::optional<std::string> attempt(const std::function<std::string()>& ask, double until) {
  try {
    return ask();
  } catch (const Error& error) {
    if (error.code() != ErrorCode::retry || monotonic_seconds() > until) throw;
    return std::nullopt;
  }
}

// Until the training has ended, or rests, and has nothing to tell any more. 130: Ctrl-C came before.
int follow(TrainingsClient& client, const std::string& id, Source& source) {
  constexpr double kPatience = 30;  // a server that is started again is waited for
  const Interrupt interrupt;
  double answered = monotonic_seconds();
  std::string status;
  do {
    const auto now = attempt([&] { return text_of(client.get(id), "status"); },
                             answered + kPatience);  // before it is read
    const auto told = now ? attempt([&] { return source.next(); }, answered + kPatience) : std::nullopt;
    if (!told) continue;
    answered = monotonic_seconds();
    if (!told->empty()) put(*told);
    if (told->empty() && (has_ended(*now) || *now == "paused")) return 0;
  } while (std::ferror(stdout) == 0 && !interrupt.within(kInterval));
  return static_cast<int>(ErrorCode::cancelled);
}

int run(const Options& options) {
  TrainingsClient client(options.server);
  const std::string id = text_of(client.find(options.ids).front(), "id");
  std::unique_ptr<Source> source;
  if (options.events)
    source = std::make_unique<Events>(client, id);
  else
    source = std::make_unique<Log>(client, id, options);
  if (options.follow) return follow(client, id, *source);
  std::string text = source->next();
  if (text.empty() && !options.events)
    std::fprintf(stderr, "saemill: nothing was printed; --rank launcher and --events tell more\n");
  for (; !text.empty(); text = options.events ? source->next() : "") put(text);
  return 0;
}

}  // namespace

void add_logs(CLI::App& app, Command& chosen) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("logs", "What a training printed, or its events");
  command->add_option("id", options->ids, "An id, its beginning (at least 4 characters), or a name")
      ->required()
      ->expected(1)
      ->type_name("ID");
  auto* rank = command->add_option("--rank", options->rank, "The log of this rank, or of the launcher")
                   ->type_name("K|launcher")
                   ->capture_default_str();
  auto* tail = command->add_option("--tail", options->tail, "How many lines from its end")
                   ->check(CLI::Range(1, 10000))
                   ->capture_default_str();
  command->add_flag("-f,--follow", options->follow, "Go on with what it prints, until it has ended or rests");
  command->add_flag("--events", options->events, "Instead: its events, a line of JSON each")
      ->excludes(rank)
      ->excludes(tail);
  add_server_options(*command, options->server);
  command->add_flag("--json", options->json, "{rank, text} on one line; events are JSON anyway");
  command->callback([options, &chosen] { chosen = [options] { return run(*options); }; });
}

}  // namespace saemill
