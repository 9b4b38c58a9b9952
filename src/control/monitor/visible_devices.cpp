#include "control/monitor/visible_devices.h"

#include <algorithm>
#include <charconv>

namespace saemill {
namespace {

constexpr size_t kNone = static_cast<size_t>(-1);

std::vector<std::string> entries_of(const std::string& list) {
  std::vector<std::string> entries;
  for (size_t begin = 0; begin <= list.size();) {
    const size_t comma = std::min(list.find(',', begin), list.size());
    std::string entry = list.substr(begin, comma - begin);
    entry.erase(0, entry.find_first_not_of(' '));
    entry.erase(entry.find_last_not_of(' ') + 1);
    entries.push_back(std::move(entry));
    begin = comma + 1;
  }
  return entries;
}

// The places of whole GPUs as CUDA_DEVICE_ORDER=PCI_BUS_ID counts them. Where one does not tell its place on
// the bus, the driver's order, which is the same by all experience.
std::vector<size_t> by_bus(const std::vector<Device>& devices) {
  std::vector<size_t> order;
  bool known = true;
  for (size_t i = 0; i < devices.size(); ++i) {
    if (devices[i].kind != DeviceKind::gpu) continue;
    order.push_back(i);
    known = known && devices[i].pci_bus_id.has_value();
  }
  if (known)
    std::stable_sort(order.begin(), order.end(),
                     [&](size_t a, size_t b) { return *devices[a].pci_bus_id < *devices[b].pci_bus_id; });
  return order;
}

size_t named_by_uuid(const std::vector<Device>& devices, const std::string& beginning) {
  size_t found = kNone;
  for (size_t i = 0; i < devices.size(); ++i) {
    if (devices[i].kind == DeviceKind::cpu || !devices[i].uuid.starts_with(beginning)) continue;
    if (devices[i].uuid == beginning) return i;
    if (found != kNone) return kNone;  // it could be either
    found = i;
  }
  return found;
}

size_t named(const std::vector<Device>& devices, const std::vector<size_t>& order, const std::string& entry) {
  if (entry.starts_with("GPU-") || entry.starts_with("MIG-")) return named_by_uuid(devices, entry);
  size_t index = 0;
  const char* end = entry.data() + entry.size();
  const auto [rest, error] = std::from_chars(entry.data(), end, index);
  return error == std::errc() && rest == end && index < order.size() ? order[index] : kNone;
}

}  // namespace

std::vector<bool> visible_devices(const std::vector<Device>& devices, const std::string& list) {
  if (list.empty()) return std::vector<bool>(devices.size(), true);
  const auto order = by_bus(devices);
  std::vector<size_t> chosen;
  for (const std::string& entry : entries_of(list)) {
    const size_t at = named(devices, order, entry);
    if (at == kNone) break;
    if (std::find(chosen.begin(), chosen.end(), at) != chosen.end()) {
      chosen.clear();
      break;
    }
    chosen.push_back(at);
  }
  std::vector<bool> visible(devices.size());
  for (size_t i = 0; i < devices.size(); ++i) {
    const Device& device = devices[i];
    visible[i] =
        device.kind == DeviceKind::cpu || std::any_of(chosen.begin(), chosen.end(), [&](size_t at) {
          return at == i || (device.kind == DeviceKind::mig && device.parent_uuid == devices[at].uuid);
        });
  }
  return visible;
}

}  // namespace saemill
