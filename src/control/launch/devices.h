// Which devices a job runs on, as the command line names them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace saemill {

// What one rank runs on.
struct JobDevice {
  std::string name;             // "cpu:0", "gpu:1"
  std::string uuid;             // of a GPU or MIG instance; empty: a CPU slot
  std::string pci_bus_id = "";  // of a GPU, as the driver writes it; empty: not known
  bool operator==(const JobDevice&) const = default;
};

struct DeviceNames {
  int automatic = 0;               // so many are to be chosen; 0: those named
  std::vector<std::string> names;  // as given; CPU slots as "cpu:K"
};

// "auto", "auto:N", or a list of names: cpu:K, gpu:K, an index or a uuid, separated by commas. A CPU slot is
// a rank, however many cores there are. Error{usage} otherwise, and where a name comes twice.
DeviceNames parse_devices(std::string_view text);

std::vector<JobDevice> cpu_slots(int count);  // cpu:0, cpu:1, ...

}  // namespace saemill
