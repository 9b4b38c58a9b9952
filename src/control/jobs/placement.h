// What trainings ask of the scheduler: devices, memory, time.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "control/jobs/schedule.h"
#include "control/select/device_estimate.h"
#include "control/store/trainings.h"

namespace saemill {

// Not thread-safe.
class Placement {
 public:
  // Of a training on these devices, as ExpectedDuration::seconds().
  using Expected =
      std::function<std::optional<double>(const TrainingRow& training, const RunConfig& config,
                                          const std::vector<std::string>& devices, const Snapshot& snapshot)>;
  Placement(MeasuredConstants constants, Expected expected)
      : constants_(std::move(constants)), expected_(std::move(expected)) {}

  // `failed_dependency` and `waiting_for` are the caller's. After a restart it asks for no more devices than
  // this machine still has that are well: the batch is global, so fewer give the same result.
  // `left`: seconds, by its own speed; without it its duration is the expected one. At most its time limit.
  WaitingJob waiting(const TrainingRow& training, const Snapshot& snapshot, std::optional<double> left = {});
  void forget(const std::string& id) { known_.erase(id); }

 private:
  struct Known {
    RunConfig config;
    std::map<std::string, int64_t> memory;  // by number and kind of devices
  };
  Known& known(const TrainingRow& training);
  int64_t memory(Known& known, const Snapshot& snapshot, const std::vector<std::string>& devices);

  MeasuredConstants constants_;
  Expected expected_;
  std::map<std::string, Known> known_;
};

std::vector<std::string> device_list(const std::string& json);  // of asked_gpu_ids or device_uuids

// What the disk must have free before it starts: a checkpoint, and the SAE.
int64_t disk_room(const RunConfig& config);

}  // namespace saemill
