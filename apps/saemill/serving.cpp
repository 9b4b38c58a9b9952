#include "serving.h"

#include <fmt/format.h>

#include "common/base/clock.h"
#include "common/base/error.h"
#include "common/base/log.h"
#include "common/base/proc.h"
#include "common/base/version.h"
#include "control/api/secret.h"
#include "control/launch/worker_client.h"
#include "gpu_constants.h"

namespace saemill {
namespace {

constexpr double kInspectSeconds = 30;
constexpr int kConnections = 10;  // to the database: the pool's, the recorders', the sampler's and the jobs'

net::ServerOptions server_options(const ServeOptions& options) {
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

std::vector<std::filesystem::path> activation_folders(const ServeOptions& options) {
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

void log_event(const MachineEvent& event) {
  const auto level = event.severity == Severity::error     ? LogLevel::error
                     : event.severity == Severity::warning ? LogLevel::warning
                                                           : LogLevel::info;
  log_line(level, fmt::format("{}{}: {}", event.code, event.over ? " over" : "", event.message));
}

}  // namespace

Serving::Serving(const ServeOptions& options, ServerData& data)
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
      measured_runs_(database_),
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
                .visible_devices = visible_devices_variable(),
                .data = data.folder(),
                .leases = &leases_,
                .recorder = &recorder_}),
      jobs_(jobs_options(options), database_, leases_, monitor_, training_feed_),
      services_(make_services(options)),
      server_(server_options(options), services_),
      log_watch_(hub_, services_.run_folder) {
  feed_.record_with(&event_recorder_);
  idempotency_.abandon_all(data.server_id());
  listening_ = &server_;
  monitor_.start([this](const std::shared_ptr<const Snapshot>& snapshot) { feed_.on_snapshot(*snapshot); });
  open_channels();
  jobs_.start();
}

Serving::~Serving() {
  jobs_.stop();
  monitor_.stop();
  listening_ = nullptr;
}

void Serving::leave() {
  ::eventfd_write(leaving_.get(), 1);  // questions to the worker end
  server_.stop();
}

api::Services Serving::make_services(const ServeOptions& options) {
  api::Services services;
  services.info = {.server_id = data_.server_id(),
                   .boot = api::random_secret().substr(0, 16),
                   .version = kVersion,
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
  add_trainings(services);
  services.idempotency = &idempotency_;
  services.auth = &auth_;
  services.hub = &hub_;
  services.activation_folders = activation_folders(options);
  services.inspect = [worker = find_worker(options.worker), leaving = leaving_.get()](
                         const std::filesystem::path& path, const std::string& tensor) {
    return inspect_json(worker, path.string(), tensor, kInspectSeconds, leaving);
  };
  services.gpu_constants = gpu_constants();
  return services;
}

void Serving::add_trainings(api::Services& services) {
  services.trainings = &trainings_;
  services.checkpoints = &checkpoints_;
  services.training_metrics = &training_metrics_;
  services.training_events = &training_events_;
  services.measured_runs = &measured_runs_;
  services.run_folder = [this](const std::string& id) { return jobs_.run_folder(id); };
  services.create_trainings = [this](std::vector<TrainingRow> rows, bool now) {
    return jobs_.create(std::move(rows), now);
  };
  services.control_training = [this](const std::string& id, const ControlRequest& request) {
    return jobs_.control(id, request);
  };
  services.erase_checkpoint = [this](const std::string& id, const std::string& name) {
    jobs_.erase_checkpoint(id, name);
  };
  services.erase_training = [this](const std::string& id) { jobs_.erase(id); };
  services.last_look = [this] { return jobs_.last_look(); };
}

MeasuredConstants Serving::gpu_constants() const {
  return [folder = data_.folder()](const Device& gpu, const std::string& driver_version) {
    return measured_constants(folder, gpu, driver_version);
  };
}

JobsOptions Serving::jobs_options(const ServeOptions& options) const {
  return {.data = data_.folder(),
          .program = std::filesystem::read_symlink("/proc/self/exe"),
          .worker = find_worker(options.worker),
          .server_id = data_.server_id(),
          .host = host_name(),
          .hang_after = options.hang_after,
          .keep_checkpoints_days = options.keep_checkpoints,
          .keep_trainings_days = options.keep_trainings,
          .gpu_constants = gpu_constants()};
}

// A client may come back for any training with the seq it has seen last.
void Serving::open_channels() {
  std::vector<TrainingRow> all;
  for (TrainingQuery query{.limit = Trainings::kMostPerPage};; ++query.page) {
    const auto page = trainings_.list(query).trainings;
    if (page.empty()) break;
    all.insert(all.end(), page.begin(), page.end());
  }
  training_feed_.open_all(all, [this](const std::string& id) { return checkpoints_.list(id); });
}

}  // namespace saemill
