#include "control/jobs/job_launch.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <set>

#include <nlohmann/json.hpp>

#include "common/base/error.h"
#include "common/base/file.h"
#include "common/base/proc.h"
#include "common/protocol/checkpoint_folders.h"
#include "control/launch/cores.h"

namespace saemill {
namespace {

Fd open_log(const fs::path& path, int flags) {
  Fd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0600));
  if (!file) fail(ErrorCode::retry, "{}: cannot be opened: {}", path.string(), std::strerror(errno));
  return file;
}

std::string device_names(const std::vector<std::string>& uuids, const Snapshot& snapshot) {
  std::string names;
  for (const std::string& uuid : uuids) {
    const Device* device = find_device(snapshot.devices, uuid);
    ensure(device != nullptr, "a job on a device that is not there");
    names += names.empty() ? "" : ",";
    names += device->kind == DeviceKind::cpu ? short_name(snapshot.devices, *device) : uuid;
  }
  return names;
}

}  // namespace

void prepare_run(const fs::path& run, const TrainingRow& training) {
  std::error_code error;
  fs::create_directories(run, error);
  if (error) fail(ErrorCode::retry, "{}: cannot make the folder: {}", run.string(), error.message());
  if (!fs::exists(run / "config.json", error)) {
    const auto config = nlohmann::ordered_json::parse(training.config);
    write_file_atomically(real_file_system(), run / "config.json", config.dump(2) + "\n");
  }
  open_log(run / "events.jsonl", O_APPEND);  // so that it can be watched from its first line on
  for (const char* name : {"exit.json", "status.json"}) real_file_system().remove_all(run / name);
}

bool has_checkpoint(const fs::path& run) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(run / "checkpoints", error))
    if (entry.path().filename().string().starts_with("step-")) return true;
  return false;
}

std::string mark_of(const std::string& training) {
  return "SAEMILL_TRAINING=" + training;
}

std::vector<int> cores_of(const std::vector<std::string>& devices, const Snapshot& snapshot) {
  std::vector<std::string> slots;
  for (const Device& device : snapshot.devices)
    if (device.kind == DeviceKind::cpu) slots.push_back(device.uuid);
  const auto all = allowed_cores();
  const auto shares = cores_of_ranks(cpu_slots(static_cast<int>(slots.size())), all);
  std::set<int> cores;
  for (const std::string& uuid : devices) {
    const auto found = std::find(slots.begin(), slots.end(), uuid);
    if (found == slots.end()) return {};
    const auto slot = static_cast<size_t>(found - slots.begin());
    cores.insert(shares[slot].begin(), shares[slot].end());
    // More slots than cores: several share one.
    if (shares[slot].empty()) cores.insert(all[slot * all.size() / slots.size()]);
  }
  return {cores.begin(), cores.end()};
}

ProcessId launch_job(const JobLaunch& launch, const Snapshot& snapshot,
                     const std::function<void(const ProcessId&)>& record) {
  const Fd log = open_log(launch.run / "launcher.log", O_APPEND | O_TRUNC);
  SpawnOptions options;
  options.command = {launch.program.string(),
                     "train",
                     (launch.run / "config.json").string(),
                     "--out",
                     launch.run.string(),
                     "--devices",
                     device_names(launch.devices, snapshot),
                     "--leased-to",
                     launch.training.id,
                     "--resume",
                     "--progress",
                     "none",
                     "--worker",
                     launch.worker.string()};
  if (launch.training.from_checkpoint) {
    options.command.push_back("--from-checkpoint");
    options.command.push_back(checkpoint_name(*launch.training.from_checkpoint));
  }
  const bool finishing = launch.training.status == TrainingStatus::finalizing;
  if (finishing && has_checkpoint(launch.run)) options.command.push_back("--finish");
  options.environment = {mark_of(launch.training.id)};
  options.cores = cores_of(launch.devices, snapshot);
  options.stdout_fd = options.stderr_fd = log.get();
  return start_detached(options, record);
}

}  // namespace saemill
