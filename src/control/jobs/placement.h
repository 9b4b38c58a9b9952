// What trainings ask of the scheduler: devices, memory, time.
#pragma once

#include <map>
#include <mutex>
#include <string>

#include "control/jobs/schedule.h"
#include "control/select/device_estimate.h"
#include "control/store/trainings.h"

namespace saemill {

// Not thread-safe.
class Placement {
 public:
  explicit Placement(MeasuredConstants constants) : constants_(std::move(constants)) {}

  // `failed_dependency` and `waiting_for` are the caller's. After a restart it asks for no more devices than
  // this machine still has that are well: the batch is global, so fewer give the same result.
  WaitingJob waiting(const TrainingRow& training, const Snapshot& snapshot);
  void forget(const std::string& id) { known_.erase(id); }

 private:
  struct Known {
    RunConfig config;
    std::map<std::string, int64_t> memory;  // by number and kind of devices
  };
  int64_t memory(const TrainingRow& training, const Snapshot& snapshot,
                 const std::vector<std::string>& devices, int count);

  MeasuredConstants constants_;
  std::map<std::string, Known> known_;
};

std::vector<std::string> device_list(const std::string& json);  // of asked_gpu_ids or device_uuids

// What the disk must have free before it starts: a checkpoint, and the SAE.
int64_t disk_room(const RunConfig& config);

}  // namespace saemill
