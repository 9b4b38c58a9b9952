// Which devices a job should take, and what is wrong with a choice: pure functions over a snapshot.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "control/monitor/inventory.h"

namespace saemill {

// What a device must have free beyond what the plan asks: the estimate's own error and what drivers take.
int64_t memory_margin(DeviceKind kind, int64_t memory);  // GPUs: the larger of 2 % and 300 MiB; CPU: 2 %

// Whether a device holds `memory` bytes, for everybody who asks: what fits can be trained on, what fits
// without the margin is worth a warning, and what does not is not recommended.
enum class MemoryFit { unknown, too_small, without_margin, with_margin };
MemoryFit memory_fit(const Device& device, int64_t memory);

// --- recommend ---------------------------------------------------------------------------------------------

struct RecommendRequest {
  int64_t memory = 0;  // bytes on each device
  int count = 1;
  std::string kind =
      "any";  // gpu (MIG instances too, for a count of 1) | cpu | any: GPUs where the machine has some
  bool mixed_models = false;         // devices of several models together are acceptable
  std::vector<std::string> exclude;  // uuids
  int most_choices = 3;
};

struct Choice {
  std::vector<int> gpu_ids;  // ascending
  std::vector<std::string> device_uuids;
  std::vector<std::string> reasons;  // for people: why this one, in the order that decided
};

struct Rejected {
  int gpu = 0;
  std::string uuid;
  Reason reason;
};

struct Recommendation {
  std::vector<Choice> choices;  // best first; empty: fewer than asked are suitable
  int asked = 0;
  int suitable = 0;  // the most devices that could serve together
  std::vector<Rejected> rejected;
  std::string help;  // where there is no choice: what would make one possible
};

// Error{usage}: a count < 1, memory < 0 or another kind. Choices are ordered by link topology (NVLink before
// one PCIe switch before a NUMA crossing), then by how well linked the devices that stay free are, then heat
// (in steps of 5 degrees), then the longest unused, then index.
Recommendation recommend(const Snapshot& snapshot, const RecommendRequest& request);

nlohmann::ordered_json to_json(const Recommendation& recommendation);  // as REST answers, both ways

// --- validate ----------------------------------------------------------------------------------------------

struct Problem {
  std::string code;  // does_not_exist named_twice busy memory mixed_models unhealthy lost prohibited unknown
  std::string gpu;   // as it was named
  nlohmann::ordered_json value, limit;  // what was found, what would do; null where that says nothing
  std::string message, fix;
};

struct Validation {
  std::vector<Problem> errors, warnings;
  std::vector<int> gpu_ids;  // of the named devices that exist, once each, as they were named
  std::vector<std::string> device_uuids;
  bool valid() const { return errors.empty(); }
};

// Every problem of the selection, not the first. `memory`: bytes needed on each device, 0: not checked.
Validation validate(const Snapshot& snapshot, const std::vector<std::string>& ids, int64_t memory);

nlohmann::ordered_json to_json(const Validation& validation);

}  // namespace saemill
