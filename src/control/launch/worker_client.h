// Questions that the launcher and the server ask saemill-worker, since only that program reads shards and
// checkpoints.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "control/launch/process.h"
#include "control/launch/signals.h"

namespace saemill {

// The program named by --worker, else `saemill-worker` beside this program's own file. Error{usage} if it is
// not an executable file.
std::filesystem::path find_worker(const std::string& named);

// Called about once a second while the worker is waited for, which on a slow file system may take minutes.
using SignOfLife = std::function<void()>;

struct ActivationsInfo {
  int64_t rows = 0;
  int64_t d_in = 0;
};

// `worker inspect PATH [--tensor T] --json`. A failure is passed on: its message with its exit code.
ActivationsInfo inspect_activations(const std::filesystem::path& worker, const std::string& path,
                                    const std::string& tensor, SignalRequests& signals,
                                    const SignOfLife& alive = {});

// The same question from a server, on any thread that waits for it: the worker's whole answer, with rows and
// d_in above 0. The worker is killed where it has not answered after `deadline` seconds (Error{retry}) or
// `cancel_fd` becomes readable (Error{cancelled}; -1: nobody cancels).
nlohmann::ordered_json inspect_json(const std::filesystem::path& worker, const std::string& path,
                                    const std::string& tensor, double deadline, int cancel_fd = -1);

struct ResumePoint {
  std::optional<int64_t> step;  // absent: no valid checkpoint
  std::vector<std::string> warnings;
  bool chosen = false;  // by somebody, who wants no other
};

// `worker checkpoints RUN --json`: the newest checkpoint that is whole, up to step `at_most`. Not asked where
// RUN holds none.
ResumePoint newest_checkpoint(const std::filesystem::path& worker, const std::filesystem::path& run,
                              int64_t at_most, SignalRequests& signals, const SignOfLife& alive = {});

// `worker devices --json`: why it can use no GPU; empty: it can.
std::string gpu_problem(const std::filesystem::path& worker, SignalRequests& signals);

}  // namespace saemill
