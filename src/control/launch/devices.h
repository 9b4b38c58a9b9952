// Which devices a job runs on, as the command line names them, and which cores a rank on a CPU slot may use.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace saemill {

// "auto" (cpu:0 with every core), "auto:N" (cpu:0 to cpu:N-1) or a list "cpu:0,cpu:3". A CPU slot is a rank,
// however many cores there are. Returns one name per rank, in the order given. Error{usage} otherwise.
std::vector<std::string> parse_devices(std::string_view text);

// The cores of this process's affinity mask, ascending.
std::vector<int> allowed_cores();

// One set of cores per rank, equal to within one core; empty sets when there are more ranks than cores, since
// ranks that share a core are better left to the kernel than pinned.
std::vector<std::vector<int>> divide_cores(const std::vector<int>& cores, int ranks);

}  // namespace saemill
