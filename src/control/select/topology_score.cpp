#include "control/select/topology_score.h"

#include <fmt/format.h>

namespace saemill {

int link_score(const Link& link) {
  if (link.nvlinks > 0) return 100 * link.nvlinks;
  return link.level <= 0    ? 60
         : link.level <= 10 ? 50
         : link.level <= 20 ? 40
         : link.level <= 30 ? 30
         : link.level <= 40 ? 20
                            : 10;
}

int topology_score(const Topology& topology, const std::vector<const Device*>& devices) {
  int score = 0;
  for (size_t a = 0; a < devices.size(); ++a) {
    for (size_t b = a + 1; b < devices.size(); ++b)
      score += link_score(topology.between(devices[a]->uuid, devices[b]->uuid));
  }
  return score;
}

std::string describe_links(const Topology& topology, const std::vector<const Device*>& devices) {
  Link weakest{.nvlinks = 1 << 20, .level = 0};
  for (size_t a = 0; a < devices.size(); ++a) {
    for (size_t b = a + 1; b < devices.size(); ++b) {
      const Link link = topology.between(devices[a]->uuid, devices[b]->uuid);
      if (link_score(link) < link_score(weakest)) weakest = link;
    }
  }
  if (weakest.nvlinks > 0)
    return fmt::format("linked by {} NVLink{}", weakest.nvlinks, weakest.nvlinks > 1 ? "s" : "");
  const int level = weakest.level;
  return level <= 0    ? "on one board"
         : level <= 10 ? "on one PCIe switch"
         : level <= 20 ? "behind several PCIe switches"
         : level <= 30 ? "on one PCIe host bridge"
         : level <= 40 ? "on one NUMA node"
                       : "across NUMA nodes";
}

}  // namespace saemill
