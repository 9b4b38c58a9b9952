#include "control/jobs/past_runs.h"

#include "common/base/error.h"
#include "control/jobs/placement.h"
#include "control/select/selection.h"

namespace saemill {
namespace {

std::optional<PastRun> past_run(const MeasuredRun& measured, const Snapshot& snapshot) {
  if (!measured.step_ms) return std::nullopt;
  const std::vector<std::string> uuids = device_list(measured.device_uuids);
  PastRun run;
  run.device = common_name(snapshot, uuids);
  if (run.device.empty()) return std::nullopt;
  run.devices = static_cast<int64_t>(uuids.size());
  run.step_ms = *measured.step_ms;
  run.data_wait_ms = measured.data_wait_ms.value_or(0);
  run.comm_exposed_ms = measured.comm_exposed_ms.value_or(0);
  try {
    run.shape = speed_shape(run_config_from_json(nlohmann::json::parse(measured.config)));
  } catch (const std::exception&) {
    return std::nullopt;  // of a program with other keys
  }
  return run;
}

}  // namespace

std::string common_name(const Snapshot& snapshot, const std::vector<std::string>& ids) {
  std::string name;
  for (const std::string& id : ids) {
    const Device* device = find_device(snapshot.devices, id);
    if (device == nullptr || (!name.empty() && device->name != name)) return "";
    name = device->name;
  }
  return name;
}

std::vector<PastRun> past_runs(const MeasuredRuns& measured, const std::string& server_id,
                               const Snapshot& snapshot) {
  std::vector<PastRun> runs;
  try {
    for (const MeasuredRun& one : measured.newest(server_id))
      if (auto run = past_run(one, snapshot)) runs.push_back(*std::move(run));
  } catch (const Error& error) {
    if (error.code() != ErrorCode::retry) throw;
  }
  return runs;
}

}  // namespace saemill
