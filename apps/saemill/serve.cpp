// saemill serve: the machine over HTTP.
#include <fmt/format.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <thread>

#include "commands.h"
#include "common/base/clock.h"
#include "common/base/error.h"
#include "common/base/log.h"
#include "common/base/proc.h"
#include "control/api/live_feed.h"
#include "control/api/secret.h"
#include "control/api/training_feed.h"
#include "control/jobs/jobs.h"
#include "control/launch/worker_client.h"
#include "control/net/server.h"
#include "gpu_constants.h"
#include "machine.h"
#include "server_data.h"

namespace saemill {
namespace {

constexpr double kInspectSeconds = 30;
constexpr int kConnections = 10;  // to the database: the pool's, the recorders', the sampler's and the jobs'

struct Options {
  MachineOptions machine;
  std::string listen = "127.0.0.1:8750", database, worker;
  std::vector<std::string> activations, hosts;
  double period = 1, hang_after = 120;
  int64_t keep_checkpoints = 0, keep_trainings = 0;  // days
  bool behind_proxy = false;
};

void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

net::ServerOptions server_options(const Options& options) {
  net::ServerOptions server;
  const size_t colon = options.listen.rfind(':');
  const std::string port = colon == std::string::npos ? "" : options.listen.substr(colon + 1);
  const bool digits =
      !port.empty() && port.size() <= 5 && port.find_first_not_of("0123456789") == std::string::npos;
  if (!digits || std::stoi(port) > 65535)
    fail(ErrorCode::usage, "--listen: \"{}\"; accepted: ADDRESS:PORT, as 127.0.0.1:8750 or [::1]:0",
         options.listen);
  server.address = options.listen.substr(0, colon);
  if (server.address.starts_with('[') && server.address.ends_with(']'))
    server.address = server.address.substr(1, server.address.size() - 2);
  if (server.address == "localhost") server.address = "127.0.0.1";
  server.port = static_cast<uint16_t>(std::stoi(port));
  server.behind_proxy = options.behind_proxy;
  for (std::string host : options.hosts) {
    for (char& c : host) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    if (host.empty() || host.find_first_of("/:*, ") != std::string::npos)
      fail(ErrorCode::usage, "--host: \"{}\"; accepted: a name without port, as saemill.example.org", host);
    server.hosts.push_back(std::move(host));
  }
  return server;
}

std::vector<std::filesystem::path> activation_folders(const Options& options) {
  std::vector<std::filesystem::path> folders;
  for (const std::string& named : options.activations) {
    std::error_code error;
    folders.push_back(std::filesystem::canonical(named, error));
    if (error || !std::filesystem::is_directory(folders.back()))
      fail(ErrorCode::usage, "--activations: {} is no folder", named);
  }
  if (folders.empty()) folders.push_back(std::filesystem::canonical(std::filesystem::current_path()));
  return folders;
}

// SIGTERM and SIGINT, as a call on a thread of its own; nothing else of the process sees them.
class StopSignals {
 public:
  StopSignals() {
    sigemptyset(&signals_);
    for (const int number : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&signals_, number);
    ::pthread_sigmask(SIG_BLOCK, &signals_, nullptr);
    ::signal(SIGPIPE, SIG_IGN);
  }
  ~StopSignals() {
    if (!thread_.joinable()) return;
    ::pthread_kill(thread_.native_handle(), SIGTERM);
    thread_.join();
  }
  void call(std::function<void()> stop) {
    thread_ = std::thread([this, stop = std::move(stop)] {
      int number = 0;
      ::sigwait(&signals_, &number);
      stop();
    });
  }

 private:
  sigset_t signals_{};
  std::thread thread_;
};

void log_event(const MachineEvent& event) {
  const auto level = event.severity == Severity::error     ? LogLevel::error
                     : event.severity == Severity::warning ? LogLevel::warning
                                                           : LogLevel::info;
  log_line(level, fmt::format("{}{}: {}", event.code, event.over ? " over" : "", event.message));
}

// Everything that one server is made of, in the order in which it depends on each other.
class Serving {
 public:
  Serving(const Options& options, ServerData& data)
      : data_(data),
        database_(
            options.database.empty() ? "sqlite:" + database_path(data.folder()).string() : options.database,
            kConnections),
        leases_(database_),
        history_(database_),
        machine_events_(database_),
        sessions_(database_),
        idempotency_(database_),
        trainings_(database_),
        checkpoints_(database_),
        training_metrics_(database_),
        training_events_(database_),
        auth_(data.token(), data.server_id(), sessions_),
        hub_([this] {
          if (net::Server* server = listening_.load()) server->wake();
        }),
        feed_(hub_, host_name()),
        training_feed_(hub_),
        recorder_(history_),
        event_recorder_(machine_events_,
                        [this](const MachineEvent& event) {
                          log_event(event);
                          feed_.told(event);
                        }),
        monitor_({.period = options.period,
                  .cpu_slots = options.machine.cpu_slots,
                  .data = data.folder(),
                  .leases = &leases_,
                  .recorder = &recorder_}),
        jobs_(jobs_options(options), database_, leases_, monitor_, training_feed_),
        services_(make_services(options)),
        server_(server_options(options), services_) {
    feed_.record_with(&event_recorder_);
    idempotency_.abandon_all(data.server_id());
    listening_ = &server_;
    monitor_.start([this](const std::shared_ptr<const Snapshot>& snapshot) { feed_.on_snapshot(*snapshot); });
    open_channels();
    jobs_.start();
  }
  ~Serving() {
    jobs_.stop();
    monitor_.stop();
    listening_ = nullptr;
  }

  net::Server& server() { return server_; }
  api::Auth& auth() { return auth_; }

  // Any thread.
  void leave() {
    ::eventfd_write(leaving_.get(), 1);  // questions to the worker end
    server_.stop();
  }

 private:
  api::Services make_services(const Options& options) {
    api::Services services;
    services.info = {.server_id = data_.server_id(),
                     .boot = api::random_secret().substr(0, 16),
                     .version = SAEMILL_VERSION,
                     .host = host_name(),
                     .started_at = epoch_seconds(),
                     .database = database_.name()};
    services.snapshot = [this] { return monitor_.latest(); };
    services.monitor_cost = [this] { return monitor_.cost(); };
    services.recorder = [this] { return recorder_.status(); };
    services.event_recorder = [this] { return event_recorder_.status(); };
    services.net = [this] { return server_.status(); };
    services.history = &history_;
    services.events = &machine_events_;
    services.trainings = &trainings_;
    services.checkpoints = &checkpoints_;
    services.training_metrics = &training_metrics_;
    services.training_events = &training_events_;
    services.run_folder = [this](const std::string& id) { return jobs_.run_folder(id); };
    services.create_trainings = [this](std::vector<TrainingRow> rows, bool now) {
      return jobs_.create(std::move(rows), now);
    };
    services.control_training = [this](const std::string& id, const ControlRequest& request) {
      return jobs_.control(id, request);
    };
    services.erase_training = [this](const std::string& id) { jobs_.erase(id); };
    services.last_look = [this] { return jobs_.last_look(); };
    services.idempotency = &idempotency_;
    services.auth = &auth_;
    services.hub = &hub_;
    services.activation_folders = activation_folders(options);
    services.inspect = [worker = find_worker(options.worker), leaving = leaving_.get()](
                           const std::filesystem::path& path, const std::string& tensor) {
      return inspect_json(worker, path.string(), tensor, kInspectSeconds, leaving);
    };
    services.gpu_constants = gpu_constants_of_machine();
    return services;
  }
  MeasuredConstants gpu_constants_of_machine() const {
    return [folder = data_.folder()](const Device& gpu, const std::string& driver_version) {
      return measured_constants(folder, gpu, driver_version);
    };
  }
  JobsOptions jobs_options(const Options& options) const {
    return {.data = data_.folder(),
            .program = std::filesystem::read_symlink("/proc/self/exe"),
            .worker = find_worker(options.worker),
            .server_id = data_.server_id(),
            .host = host_name(),
            .hang_after = options.hang_after,
            .keep_checkpoints_days = options.keep_checkpoints,
            .keep_trainings_days = options.keep_trainings,
            .gpu_constants = gpu_constants_of_machine()};
  }
  // A client may come back for any training with the seq it has seen last.
  void open_channels() {
    std::vector<TrainingRow> all;
    for (TrainingQuery query{.limit = Trainings::kMostPerPage};; ++query.page) {
      const auto page = trainings_.list(query).trainings;
      if (page.empty()) break;
      all.insert(all.end(), page.begin(), page.end());
    }
    training_feed_.open_all(all, [this](const std::string& id) { return checkpoints_.list(id); });
  }

  ServerData& data_;
  Fd leaving_{::eventfd(0, EFD_CLOEXEC)};
  Database database_;
  Leases leases_;
  DeviceHistory history_;
  MachineEvents machine_events_;
  Sessions sessions_;
  IdempotencyKeys idempotency_;
  Trainings trainings_;
  Checkpoints checkpoints_;
  TrainingMetrics training_metrics_;
  TrainingEvents training_events_;
  api::Auth auth_;
  std::atomic<net::Server*> listening_ = nullptr;
  api::Hub hub_;
  api::LiveFeed feed_;
  api::TrainingFeed training_feed_;
  Recorder recorder_;
  EventRecorder event_recorder_;
  Monitor monitor_;
  Jobs jobs_;
  api::Services services_;
  net::Server server_;
};

// A database or a worker that does not come back must not keep a server that was told to go.
void leave_anyway_after(double seconds, const std::filesystem::path& announced) {
  std::thread([seconds, announced] {
    std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
    log_line(LogLevel::warning, "something did not end in time: leaving without it");
    std::error_code ignored;
    std::filesystem::remove(announced, ignored);
    ::_exit(0);
  }).detach();
}

int run(const Options& options) {
  StopSignals signals;
  raise_descriptor_limit();
  ServerData data(data_folder(options.machine.data));
  Serving serving(options, data);
  data.announce(serving.server().url());
  const std::string& url = serving.server().url();
  std::printf(
      "saemill %s serves on %s\n  sign in  %s/login?code=%s\n           once, within 10 minutes; `saemill "
      "login` prints "
      "another link\n  data     %s\n",
      SAEMILL_VERSION, url.c_str(), url.c_str(), serving.auth().new_code().c_str(), data.folder().c_str());
  std::fflush(stdout);
  signals.call([&] {
    leave_anyway_after(3, data.folder() / "server.json");
    serving.leave();
  });
  serving.server().run();
  return 0;
}

}  // namespace

void add_serve(CLI::App& app, Command& chosen) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("serve", "Serve this machine over HTTP: trainings, devices, live");
  command->add_option("--listen", options->listen, "Address and port; port 0 is any free one")
      ->capture_default_str()
      ->type_name("ADDRESS:PORT");
  add_machine_options(*command, options->machine);
  command
      ->add_option("--database", options->database,
                   "sqlite:PATH or postgresql://user@host/name; default: saemill.db in the data folder")
      ->type_name("URL");
  command
      ->add_option("--activations", options->activations,
                   "A folder that activations may be in; repeatable; default: the current folder")
      ->type_name("DIR")
      ->expected(1)
      ->take_all();
  command->add_option("--worker", options->worker, "saemill-worker; default: the one beside saemill")
      ->type_name("PATH");
  command->add_option("--period", options->period, "Seconds between two samples of the devices")
      ->check(CLI::Range(0.25, 60.0))
      ->capture_default_str();
  command
      ->add_option("--hang-after", options->hang_after,
                   "Seconds without a sign of life after which a training's launcher is killed and restarted")
      ->check(CLI::Range(5.0, 86400.0))
      ->capture_default_str();
  command
      ->add_option("--keep-checkpoints", options->keep_checkpoints,
                   "Days after which the checkpoints of a completed training are deleted; 0: never")
      ->check(CLI::Range(0, 36500))
      ->capture_default_str();
  command
      ->add_option("--keep-trainings", options->keep_trainings,
                   "Days after which a training that has ended is deleted with all its files; 0: never")
      ->check(CLI::Range(0, 36500))
      ->capture_default_str();
  command->add_option("--host", options->hosts, "A name that people come by, beside localhost; repeatable")
      ->type_name("NAME")
      ->expected(1)
      ->take_all();
  command->add_flag(
      "--behind-proxy", options->behind_proxy,
      "A proxy that speaks TLS stands before it: any address may be listened on, cookies are Secure, "
      "peers are told by X-Forwarded-For");
  command->callback([options, &chosen] { chosen = [options] { return run(*options); }; });
}

}  // namespace saemill
