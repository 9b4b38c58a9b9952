// Where the commands that look at devices have them from: the server that runs here, which knows them best,
// else this process samples them itself.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "control/select/selection.h"
#include "find_server.h"
#include "machine.h"

namespace saemill {

class DeviceSource {
 public:
  virtual ~DeviceSource() = default;
  // `settle`: seconds that may be spent on measuring what is measured over time.
  virtual std::shared_ptr<const Snapshot> look(double settle) = 0;
  // JSON as REST answers. Of `exclude` any name of a device will do.
  virtual nlohmann::ordered_json recommend(RecommendRequest request) = 0;
  virtual nlohmann::ordered_json validate(const std::vector<std::string>& ids, int64_t memory) = 0;
};

// A server that was named must answer; one that is found in DATA and does not is passed over, with a word on
// stderr. Options for this process's own sampling (--cpu-slots) mean that it samples.
std::unique_ptr<DeviceSource> device_source(const MachineOptions& machine, const std::string& server);

}  // namespace saemill
