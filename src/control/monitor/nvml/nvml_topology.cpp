#include <algorithm>
#include <cstring>
#include <map>

#include "control/monitor/nvml/nvml_reader.h"

namespace saemill::nvml {
namespace {

constexpr unsigned kMostLinks = 18;  // of one GPU, up to Hopper and Blackwell
constexpr unsigned kRemoteSwitch = 2;

struct GpuLinks {
  std::map<std::string, int> to;  // PCI id of the other GPU -> links
  int to_switch = 0;
};

std::string lowercase(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

GpuLinks read_links(Library& library, Handle handle) {
  GpuLinks links;
  for (unsigned link = 0; link < kMostLinks; ++link) {
    unsigned active = 0, type = 0;
    const int result = library.call(library.nvlink_state, handle, link, &active);
    if (result != kSuccess) break;  // there are no more
    if (active == 0) continue;
    PciInfo remote{};
    if (library.call(library.nvlink_remote_type, handle, link, &type) == kSuccess && type == kRemoteSwitch) {
      ++links.to_switch;
    } else if (library.call(library.nvlink_remote, handle, link, &remote) == kSuccess) {
      ++links.to[lowercase(remote.bus_id)];
    }
  }
  return links;
}

}  // namespace

Topology read_topology(Library& library, const std::vector<std::unique_ptr<Gpu>>& gpus) {
  Topology topology;
  std::vector<const Gpu*> usable;
  std::vector<GpuLinks> links;
  for (const auto& gpu : gpus) {
    if (!gpu->usable() || gpu->device().kind != DeviceKind::gpu) continue;
    usable.push_back(gpu.get());
    links.push_back(read_links(library, gpu->handle()));
  }
  for (size_t a = 0; a < usable.size(); ++a) {
    for (size_t b = a + 1; b < usable.size(); ++b) {
      Link link;
      unsigned level = 0;
      if (library.call(library.common_ancestor, usable[a]->handle(), usable[b]->handle(), &level) == kSuccess)
        link.level = static_cast<int>(level);
      const auto direct = links[a].to.find(usable[b]->device().pci_bus_id.value_or(""));
      link.nvlinks = (direct != links[a].to.end() ? direct->second : 0) +
                     std::min(links[a].to_switch, links[b].to_switch);
      topology.set(usable[a]->device().uuid, usable[b]->device().uuid, link);
    }
  }
  return topology;
}

}  // namespace saemill::nvml
