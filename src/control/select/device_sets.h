// The best sets of a given size among devices that may serve together.
#pragma once

#include <cstddef>
#include <cstdint>
#include <tuple>
#include <vector>

namespace saemill {

using Places = std::vector<std::size_t>;  // of devices, ascending

// What decides, of each device.
struct LinkedDevices {
  std::vector<std::vector<int>> links;  // link_score of each pair; 0 with itself
  std::vector<int> heat;
  std::vector<int64_t> last_used;  // epoch seconds; 0: never
  std::size_t size() const { return heat.size(); }
};

struct RankedSet {
  // Smaller is better: -links, -links of what stays free, heat of the hottest, the last use of any, places.
  std::tuple<int, int, int, int64_t, Places> key;
  const Places& places() const { return std::get<Places>(key); }
};

// At most `most`, the best first. All sets are looked at where there are at most 20,000 (8 of 16); beyond,
// those grown from each device by the best linked next one.
std::vector<RankedSet> best_sets(const LinkedDevices& devices, std::size_t count, std::size_t most);

}  // namespace saemill
