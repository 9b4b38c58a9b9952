// Which devices a request asks for: named ones, or so many of any.
#pragma once

#include <string>
#include <vector>

#include "control/api/request.h"
#include "control/monitor/inventory.h"

namespace saemill::api {

struct AskedDevices {
  std::vector<std::string> names;  // as they were given; empty: any
  std::vector<std::string> uuids;  // of `names`
  int64_t count = 1;
};

// gpu_ids or device_count of a body; neither: `otherwise`. Problem 422 invalid_request: both; a device that
// is not there, named twice, or that does not train beside the others; more than the machine has.
AskedDevices asked_devices(const Snapshot& snapshot, const Members& body, AskedDevices otherwise = {});

// The same problems of named devices; and those that are too small for `memory` bytes even if nothing ran on
// them. What is busy or ill now may be waited for.
void check_devices(const Snapshot& snapshot, AskedDevices& devices, int64_t memory = 0);

// To estimate for: the named ones, else the first ones.
std::vector<std::string> names_of(const Snapshot& snapshot, const AskedDevices& devices);

}  // namespace saemill::api
