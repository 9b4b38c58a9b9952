// How well a set of devices is linked, as one number: the sum over its pairs.
#pragma once

#include <string>
#include <vector>

#include "control/monitor/device.h"

namespace saemill {

// 100 for each NVLink; else by the PCIe level that both share, from 60 (one board) down to 10 (another NUMA
// node). The table is that of NVIDIA's go-gpuallocator.
int link_score(const Link& link);

int topology_score(const Topology& topology, const std::vector<const Device*>& devices);

// "linked by 18 NVLinks", "on one PCIe switch", "across NUMA nodes": of its weakest pair.
std::string describe_links(const Topology& topology, const std::vector<const Device*>& devices);

}  // namespace saemill
