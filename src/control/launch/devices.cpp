#include "control/launch/devices.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "common/base/error.h"

namespace saemill {
namespace {

constexpr int kMaxSlots = 1024;
constexpr const char* kAccepted =
    "accepted: auto, auto:N, cpu:K, gpu:K, an index or a uuid of `saemill gpus`,";

std::optional<int> small_number(std::string_view text) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  if (text.front() == '-' || value >= kMaxSlots) return std::nullopt;
  return value;
}

// A CPU slot's name is checked here; what GPUs there are is not known here.
std::string parse_one(std::string_view name) {
  if (name.starts_with("cpu")) {
    const auto slot = name.starts_with("cpu:") ? small_number(name.substr(4)) : std::nullopt;
    if (slot) return fmt::format("cpu:{}", *slot);
  } else if (name.starts_with("gpu:")
                 ? small_number(name.substr(4)).has_value()
                 : small_number(name).has_value() || name.starts_with("GPU-") || name.starts_with("MIG-")) {
    return std::string(name);
  }
  fail(ErrorCode::usage, "--devices: '{}' is not a device; {} with K from 0 to {}, separated by commas", name,
       kAccepted, kMaxSlots - 1);
}

}  // namespace

DeviceNames parse_devices(std::string_view text) {
  if (text == "auto") return {1, {}};
  if (text.starts_with("auto:")) {
    const auto count = small_number(text.substr(5));
    if (count && *count > 0) return {*count, {}};
    fail(ErrorCode::usage, "--devices {}: not a number of devices; accepted: auto:N with N from 1 to {}",
         text, kMaxSlots - 1);
  }
  DeviceNames devices;
  for (bool more = true; more;) {
    const size_t comma = text.find(',');
    more = comma != std::string_view::npos;
    const std::string device = parse_one(text.substr(0, comma));
    if (std::find(devices.names.begin(), devices.names.end(), device) != devices.names.end()) {
      fail(ErrorCode::usage, "--devices: {} is named twice; each device runs one rank", device);
    }
    devices.names.push_back(device);
    if (more) text.remove_prefix(comma + 1);
  }
  return devices;
}

std::vector<JobDevice> cpu_slots(int count) {
  std::vector<JobDevice> slots;
  for (int slot = 0; slot < count; ++slot) slots.push_back({fmt::format("cpu:{}", slot), ""});
  return slots;
}

}  // namespace saemill
