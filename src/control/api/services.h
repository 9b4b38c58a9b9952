// What endpoints work with. They hold nothing themselves: an endpoint is a function of the services and a
// request.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/plan/estimate.h"
#include "control/api/auth.h"
#include "control/api/http.h"
#include "control/api/hub.h"
#include "control/jobs/jobs.h"
#include "control/monitor/event_recorder.h"
#include "control/monitor/monitor.h"
#include "control/store/checkpoints.h"
#include "control/store/idempotency.h"
#include "control/store/measured_runs.h"
#include "control/store/training_events.h"
#include "control/store/training_metrics.h"
#include "control/store/trainings.h"

namespace saemill::api {

struct ServerInfo {
  std::string server_id;  // of DATA: the same after a restart
  std::string boot;       // of this start
  std::string version, host;
  double started_at = 0;  // epoch seconds
  std::string database;   // its name, without a password
};

// Of the HTTP layer, for /metrics and GET server.
struct NetStatus {
  int64_t connections = 0, websockets = 0;
  int64_t requests = 0, refused = 0;  // since the start
};

// Thread-safe, as everything in it is.
struct Services {
  ServerInfo info;
  std::function<std::shared_ptr<const Snapshot>()> snapshot;  // the newest; null: none yet
  std::function<MonitorCost()> monitor_cost;
  std::function<Recorder::Status()> recorder;
  std::function<EventRecorder::Status()> event_recorder;
  std::function<NetStatus()> net;
  DeviceHistory* history = nullptr;
  MachineEvents* events = nullptr;
  Trainings* trainings = nullptr;
  Checkpoints* checkpoints = nullptr;
  TrainingMetrics* training_metrics = nullptr;
  TrainingEvents* training_events = nullptr;
  MeasuredRuns* measured_runs = nullptr;
  std::function<std::filesystem::path(const std::string& id)> run_folder;  // of a training
  // As Jobs does them, with its Refused and Error{retry}.
  std::function<std::vector<TrainingRow>(std::vector<TrainingRow> rows, bool now)> create_trainings;
  std::function<TrainingRow(const std::string& id, const ControlRequest& request)> control_training;
  std::function<void(const std::string& id)> erase_training;
  std::function<void(const std::string& id, const std::string& name)> erase_checkpoint;
  std::function<Jobs::Look()> last_look;
  IdempotencyKeys* idempotency = nullptr;
  Auth* auth = nullptr;
  Hub* hub = nullptr;

  // {files, rows, d_in, dtype, tensor, bytes} of a path that was allowed, by saemill-worker. Error{bad_data}:
  // what is wrong with it; Error{retry}: no answer in time.
  std::function<Json(const std::filesystem::path& path, const std::string& tensor)> inspect;
  std::vector<std::filesystem::path> activation_folders;  // canonical; nothing outside is opened
  // What was measured of this GPU (saemill estimate --calibrate); absent: assumed.
  std::function<std::optional<DeviceConstants>(const Device&, const std::string& driver_version)>
      gpu_constants;
};

// The newest snapshot. 503 unavailable before the first one.
std::shared_ptr<const Snapshot> snapshot_of(const Services& services);

}  // namespace saemill::api
