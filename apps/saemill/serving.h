// Everything that one server is made of.
#pragma once

#include <sys/eventfd.h>

#include <atomic>
#include <string>
#include <vector>

#include "control/api/live_feed.h"
#include "control/api/log_watch.h"
#include "control/api/training_feed.h"
#include "control/jobs/jobs.h"
#include "control/net/server.h"
#include "machine.h"
#include "server_data.h"

namespace saemill {

struct ServeOptions {
  MachineOptions machine;
  std::string listen = "127.0.0.1:8750", database, worker;
  std::vector<std::string> activations, hosts;
  double period = 1, hang_after = 120;
  int64_t keep_checkpoints = 0, keep_trainings = 0;  // days
  bool behind_proxy = false;
};

class Serving {
 public:
  // Listens, samples and supervises from here on. Error{usage}: what an option says cannot be.
  Serving(const ServeOptions& options, ServerData& data);
  ~Serving();
  Serving(const Serving&) = delete;
  Serving& operator=(const Serving&) = delete;

  net::Server& server() { return server_; }
  api::Auth& auth() { return auth_; }

  void leave();  // any thread

 private:
  api::Services make_services(const ServeOptions& options);
  void add_trainings(api::Services& services);
  MeasuredConstants gpu_constants() const;
  JobsOptions jobs_options(const ServeOptions& options) const;
  void open_channels();

  // In the order in which they depend on each other.
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
  MeasuredRuns measured_runs_;
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
  api::LogWatch log_watch_;
};

}  // namespace saemill
