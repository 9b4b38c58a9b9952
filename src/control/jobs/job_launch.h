// Starting the launcher of one training, and what it needs of its processes afterwards.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "control/launch/detached.h"
#include "control/monitor/inventory.h"
#include "control/store/trainings.h"

namespace saemill {

struct JobLaunch {
  std::filesystem::path program, worker, run;
  TrainingRow training;
  std::vector<std::string> devices;  // uuids, one rank each
};

// RUN with config.json; what ended there before says no more how it ended. Error{retry}: the disk refuses.
void prepare_run(const std::filesystem::path& run, const TrainingRow& training);

bool has_checkpoint(const std::filesystem::path& run);

// Starts `saemill train` in RUN, which resumes what is there (from the checkpoint that was chosen), or only
// exports it where the training is finalizing. Without a checkpoint it must train until it is told to finish.
// `record` as for start_detached().
ProcessId launch_job(const JobLaunch& launch, const Snapshot& snapshot,
                     const std::function<void(const ProcessId&)>& record);

// "SAEMILL_TRAINING=id", in the environment of all processes of a training.
std::string mark_of(const std::string& training);

// The cores of these CPU slots, each a share of those that this process may use; where there are more slots
// than cores, several share one. Empty, for all of them: GPUs.
std::vector<int> cores_of(const std::vector<std::string>& devices, const Snapshot& snapshot);

}  // namespace saemill
