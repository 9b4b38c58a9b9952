// One training job from its configuration to RUN/exit.json: what `saemill train` does.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "control/launch/devices.h"
#include "control/launch/observer.h"

namespace saemill {

struct JobOptions {
  std::filesystem::path config;  // empty with `resume`: that of the run
  std::vector<std::string> overrides;
  std::vector<JobDevice> devices;  // one rank each
  std::filesystem::path out;       // empty: runs/NAME, numbered
  bool resume = false;
  std::string from_checkpoint;  // with `resume`: not its newest one but this; later ones are deleted
  bool finish = false;          // with `resume`: export the checkpoint, without a further step
  std::string worker;           // empty: beside this program
  double deadline = 60;         // seconds
  int max_restarts = 0;
};

struct JobResult {
  int code = 0;         // the exit code of the job
  std::string message;  // why, where the code is not 0; may have several lines
  std::filesystem::path run;
  std::string activations;        // activations.path of the run
  bool already_finished = false;  // nothing was done
  nlohmann::ordered_json report;  // rank 0's report of a finished run
};

// Must be called on a thread that lives as long as the process, with no other threads running: ranks are its
// direct children. Throws Error for what is refused before any rank starts.
JobResult run_job(const JobOptions& options, JobObserver& observer);

}  // namespace saemill
