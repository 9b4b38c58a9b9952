#include "control/monitor/nvml/nvml_gpu.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "control/monitor/nvml/nvml_processes.h"

namespace saemill::nvml {
namespace {

// nvmlClocksEventReasons*; idle and the user's own clock settings hold nothing down.
struct ThrottleReason {
  uint64_t bit;
  const char* name;
};
constexpr std::array<ThrottleReason, 6> kThrottleReasons{{{0x4, "sw_power_cap"},
                                                          {0x8, "hw_slowdown"},
                                                          {0x10, "sync_boost"},
                                                          {0x20, "sw_thermal"},
                                                          {0x40, "hw_thermal"},
                                                          {0x80, "power_brake"}}};

std::string lowercase(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

}  // namespace

std::optional<double> RateMeter::update(uint64_t counter, double now) {
  std::optional<double> rate;
  if (last_ && counter >= *last_ && now > time_) rate = static_cast<double>(counter - *last_) / (now - time_);
  last_ = counter;
  time_ = now;
  return rate;
}

Gpu::Gpu(Library& library, unsigned nvml_index, Handle handle, int handle_result)
    : library_(library), nvml_index_(nvml_index), handle_(handle) {
  device_.kind = DeviceKind::gpu;
  device_.uuid = fmt::format("unreadable-{}", nvml_index);
  device_.name = "GPU";
  if (handle_result != kSuccess) {
    mark_failure(handle_result);
  } else {
    read_identity();
  }
}

Gpu::Gpu(Library& library, Handle handle, const Gpu& parent)
    : library_(library), nvml_index_(parent.nvml_index_), handle_(handle) {
  device_.kind = DeviceKind::mig;
  device_.name = parent.device_.name + " MIG";
  device_.parent_uuid = parent.device_.uuid;
  device_.pci_bus_id = parent.device_.pci_bus_id;
  read_identity();
}

template <typename Signature, typename... Args>
bool Gpu::ask(Symbol<Signature>& symbol, Args... args) {
  if (!usable() || unsupported_.contains(symbol.name)) return false;
  const int result = library_.call(symbol, args...);
  if (result == kNotSupported || result == kFunctionNotFound || result == kArgumentVersionMismatch ||
      result == kDeprecated) {
    unsupported_.insert(symbol.name);
  } else if (result == kGpuIsLost || result == kUninitialized) {
    mark_failure(result);
  } else if (result == kResetRequired) {
    health_.on_reset_required();
  }
  return result == kSuccess;
}

void Gpu::mark_failure(int result) {
  failure_ = result;
  if (result == kGpuIsLost) {
    device_.lost = Reason{"lost", describe(result) + "; it comes back after a reboot or a PCI rescan"};
  } else if (result == kNoPermission) {
    device_.unreadable = Reason{"no_permission", "no permission to open this GPU (/dev/nvidia*)"};
  } else {
    device_.unreadable = Reason{"unreadable", "the driver refuses this GPU: " + describe(result)};
  }
}

void Gpu::read_identity() {
  std::array<char, 96> text{};
  const auto size = static_cast<unsigned>(text.size());
  if (ask(library_.uuid, handle_, text.data(), size)) device_.uuid = text.data();
  if (ask(library_.name, handle_, text.data(), size)) device_.name = text.data();
  PciInfo pci{};
  if (device_.kind == DeviceKind::gpu && ask(library_.pci_info, handle_, &pci)) {
    device_.pci_bus_id = lowercase(pci.bus_id);
  }
}

void Gpu::adopt(const Gpu& earlier) {
  health_ = earlier.health_;
  pcie_tx_ = earlier.pcie_tx_, pcie_rx_ = earlier.pcie_rx_;
  nvlink_tx_ = earlier.nvlink_tx_, nvlink_rx_ = earlier.nvlink_rx_;
  if (usable() && earlier.device_.lost) health_.on_reset();
}

void Gpu::refresh_health() {
  device_.health = health_.health();
  device_.last_xid = health_.last_xid();
}

void Gpu::read(bool slow, double now, double epoch) {
  if (usable()) {
    if (slow) read_slow();
    read_memory();
    if (device_.kind == DeviceKind::gpu) {
      read_load();
      read_power();
      read_clocks();
      read_traffic(now);
    }
    device_.processes = read_processes(library_, handle_);
  }
  if (!usable()) {
    // The last values would look alive.
    Device bare;
    bare.uuid = device_.uuid, bare.kind = device_.kind, bare.name = device_.name;
    bare.pci_bus_id = device_.pci_bus_id, bare.parent_uuid = device_.parent_uuid;
    bare.memory_total = device_.memory_total, bare.mig_parent = device_.mig_parent;
    bare.lost = device_.lost, bare.unreadable = device_.unreadable;
    device_ = std::move(bare);
  }
  device_.sampled_at = epoch;
  refresh_health();
}

void Gpu::read_memory() {
  device_.memory_total = device_.memory_used = device_.memory_free = device_.memory_reserved = std::nullopt;
  MemoryV2 memory{};
  memory.version = versioned<MemoryV2>(2);
  if (ask(library_.memory_v2, handle_, &memory)) {
    device_.memory_total = static_cast<int64_t>(memory.total);
    device_.memory_used = static_cast<int64_t>(memory.used);
    device_.memory_free = static_cast<int64_t>(memory.free);
    device_.memory_reserved = static_cast<int64_t>(memory.reserved);
    return;
  }
  MemoryV1 old{};
  if (!ask(library_.memory_v1, handle_, &old)) return;
  device_.memory_total = static_cast<int64_t>(old.total);
  device_.memory_used = static_cast<int64_t>(old.used);  // with what the driver reserves: it does not tell
  device_.memory_free = static_cast<int64_t>(old.free);
}

void Gpu::read_load() {
  Utilization utilization{};
  device_.utilization = device_.memory_utilization = std::nullopt;
  if (ask(library_.utilization, handle_, &utilization)) {
    device_.utilization = utilization.gpu;
    device_.memory_utilization = utilization.memory;
  }
  device_.temperature = std::nullopt;
  TemperatureV1 temperature{versioned<TemperatureV1>(1), kTemperatureGpu, 0};
  unsigned degrees = 0;
  if (ask(library_.temperature, handle_, &temperature)) {
    device_.temperature = temperature.temperature;
  } else if (ask(library_.temperature_v1, handle_, kTemperatureGpu, &degrees)) {
    device_.temperature = degrees;
  }
  unsigned fan = 0;
  device_.fan_speed = ask(library_.fan_speed, handle_, &fan) ? std::optional<double>(fan) : std::nullopt;
}

void Gpu::read_power() {
  unsigned milliwatts = 0;
  uint64_t millijoules = 0;
  device_.power_draw = device_.energy = std::nullopt;
  if (ask(library_.power_usage, handle_, &milliwatts)) device_.power_draw = milliwatts / 1e3;
  if (ask(library_.energy, handle_, &millijoules)) device_.energy = static_cast<double>(millijoules) / 1e3;
}

void Gpu::read_clocks() {
  unsigned mhz = 0;
  device_.clock_sm = device_.clock_memory = std::nullopt;
  if (ask(library_.clock, handle_, kClockSm, &mhz)) device_.clock_sm = mhz;
  if (ask(library_.clock, handle_, kClockMemory, &mhz)) device_.clock_memory = mhz;
  uint64_t mask = 0;
  device_.throttle = std::nullopt;
  if (!ask(library_.event_reasons, handle_, &mask) && !ask(library_.throttle_reasons, handle_, &mask)) return;
  device_.throttle.emplace();
  for (const ThrottleReason& reason : kThrottleReasons) {
    if ((mask & reason.bit) != 0) device_.throttle->emplace_back(reason.name);
  }
}

// From byte counters: nvmlDeviceGetPcieThroughput would block 20 ms for each direction.
void Gpu::read_traffic(double now) {
  std::array<FieldValue, 4> values{};
  values[0].field = kFieldPcieTxBytes, values[1].field = kFieldPcieRxBytes;
  values[2].field = kFieldNvlinkTx, values[3].field = kFieldNvlinkRx;
  values[2].scope = values[3].scope = kAllLinks;
  device_.pcie = device_.nvlink = {};
  if (!ask(library_.field_values, handle_, static_cast<int>(values.size()), values.data())) return;
  const auto rate = [now](const FieldValue& value, RateMeter& meter, uint64_t unit) -> std::optional<double> {
    if (value.result != kSuccess) return std::nullopt;
    const uint64_t counter = value.type == 1 ? value.value.u32 : value.value.u64;
    return meter.update(counter * unit, now);
  };
  device_.pcie = {rate(values[0], pcie_tx_, 1), rate(values[1], pcie_rx_, 1)};
  device_.nvlink = {rate(values[2], nvlink_tx_, 1024), rate(values[3], nvlink_rx_, 1024)};
}

void Gpu::read_slow() {
  unsigned value = 0;
  if (device_.kind == DeviceKind::mig) return;
  device_.power_limit = std::nullopt;
  if (ask(library_.power_limit, handle_, &value)) device_.power_limit = value / 1e3;
  if (ask(library_.compute_mode, handle_, &value)) {
    device_.compute_mode = value == 2 ? "prohibited" : value == 3 ? "exclusive_process" : "default";
  }
  if (ask(library_.persistence_mode, handle_, &value)) device_.persistence_mode = value != 0;
  read_ecc();
  read_recovery_action();
}

// A driver that does not know the field says so in it; that must not end the other questions for fields.
void Gpu::read_recovery_action() {
  if (!usable()) return;
  FieldValue value{};
  value.field = kFieldRecoveryAction;
  const bool told =
      library_.call(library_.field_values, handle_, 1, &value) == kSuccess && value.result == kSuccess;
  health_.on_recovery_action(told ? std::optional(value.value.u32) : std::nullopt);
}

void Gpu::read_ecc() {
  uint64_t count = 0;
  device_.ecc = {};
  if (ask(library_.ecc_errors, handle_, kEccCorrected, kEccVolatile, &count))
    device_.ecc.corrected = static_cast<int64_t>(count);
  if (ask(library_.ecc_errors, handle_, kEccUncorrected, kEccVolatile, &count))
    device_.ecc.uncorrected = static_cast<int64_t>(count);
  unsigned corrected = 0, uncorrected = 0, pending = 0, failure = 0;
  if (ask(library_.remapped_rows, handle_, &corrected, &uncorrected, &pending, &failure)) {
    device_.ecc.remapped_corrected = corrected;
    device_.ecc.remapped_uncorrected = uncorrected;
    device_.ecc.remap_pending = pending != 0;
    device_.ecc.remap_failure = failure != 0;
  }
  health_.on_ecc(device_.ecc);
}

}  // namespace saemill::nvml
