#include <algorithm>
#include <chrono>
#include <thread>

#include "state.h"

using namespace fake_nvml;

namespace {

nvmlReturn_t throttle(const char* symbol, nvmlDevice_t device, std::uint64_t* reasons) {
  return ask(symbol, "throttle", device, reasons != nullptr, [&](State&, const View& view) {
    if (!view.gpu->throttle) return NVML_ERROR_NOT_SUPPORTED;
    *reasons = *view.gpu->throttle;
    return NVML_SUCCESS;
  });
}

struct Memory {
  std::uint64_t total, reserved, used, free;
};

Memory memory_of(const View& view) {
  Memory memory{view.gpu->memory_total, view.gpu->memory_reserved, view.gpu->memory_used, 0};
  if (view.mig) memory = {view.mig->memory_total, 0, view.mig->memory_used, 0};
  memory.free = memory.total - std::min(memory.total, memory.reserved + memory.used);
  return memory;
}

}  // namespace

FAKE_NVML_API nvmlReturn_t nvmlDeviceGetUUID(nvmlDevice_t device, char* out, unsigned length) {
  const auto body = [&](State&, const View& view) {
    return answer_text(view.mig ? view.mig->uuid : view.gpu->uuid, out, length);
  };
  return ask(__func__, "uuid", device, out != nullptr, body, true);
}

FAKE_NVML_API nvmlReturn_t nvmlDeviceGetName(nvmlDevice_t device, char* out, unsigned length) {
  const auto body = [&](State&, const View& view) {
    return answer_text(view.mig ? view.mig->name : view.gpu->name, out, length);
  };
  return ask(__func__, "name", device, out != nullptr, body, true);
}

FAKE_NVML_API nvmlReturn_t nvmlDeviceGetPciInfo_v3(nvmlDevice_t device, nvmlPciInfo_t* pci) {
  return ask(__func__, "pci_bus_id", device, pci != nullptr, [&](State&, const View& view) {
    if (!view.gpu->pci_bus_id) return NVML_ERROR_NOT_SUPPORTED;
    fill_pci(*view.gpu->pci_bus_id, *pci);
    return NVML_SUCCESS;
  });
}

FAKE_NVML_API nvmlReturn_t nvmlDeviceGetMemoryInfo(nvmlDevice_t device, nvmlMemory_t* out) {
  const auto body = [&](State&, const View& view) {
    const Memory memory = memory_of(view);
    // The first version knows no reserved memory and counts it as used.
    *out = {memory.total, memory.free, memory.used + memory.reserved};
    return NVML_SUCCESS;
  };
  return ask(__func__, "memory", device, out != nullptr, body, true);
}

FAKE_NVML_API nvmlReturn_t nvmlDeviceGetMemoryInfo_v2(nvmlDevice_t device, nvmlMemory_v2_t* out) {
  const auto body = [&](State&, const View& view) {
    if (out->version != NVML_MEMORY_V2 && out->version != 2) return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    const Memory memory = memory_of(view);
    *out = {out->version, memory.total, memory.reserved, memory.free, memory.used};
    return NVML_SUCCESS;
  };
  return ask(__func__, "memory", device, out != nullptr, body, true);
}

FAKE_NVML_API nvmlReturn_t nvmlDeviceGetUtilizationRates(nvmlDevice_t device, nvmlUtilization_t* out) {
  return ask(__func__, "utilization", device, out != nullptr, [&](State&, const View& view) {
    if (!view.gpu->utilization || view.gpu->mig) return NVML_ERROR_NOT_SUPPORTED;
    *out = {*view.gpu->utilization, view.gpu->memory_utilization};
    return NVML_SUCCESS;
  });
}

FAKE_NVML_API nvmlReturn_t nvmlDeviceGetTemperature(nvmlDevice_t device, unsigned sensor, unsigned* out) {
  return ask(__func__, "temperature", device, sensor == 0 && out,
             [&](State&, const View& view) { return answer(view.gpu->temperature, out); });
}

FAKE_NVML_API nvmlReturn_t nvmlDeviceGetTemperatureV(nvmlDevice_t device, nvmlTemperature_v1_t* out) {
  return ask(__func__, "temperature", device, out != nullptr, [&](State&, const View& view) {
    if (out->version != NVML_TEMPERATURE_V1) return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    if (out->sensorType != 0) return NVML_ERROR_INVALID_ARGUMENT;
    return answer(view.gpu->temperature, &out->temperature);
  });
}

FAKE_NVML_API nvmlReturn_t nvmlDeviceGetPowerUsage(nvmlDevice_t device, unsigned* milliwatts) {
  return ask(__func__, "power_draw", device, milliwatts != nullptr,
             [&](State&, const View& view) { return answer(view.gpu->power_draw, milliwatts, 1000); });
}

FAKE_NVML_API nvmlReturn_t nvmlDeviceGetEnforcedPowerLimit(nvmlDevice_t device, unsigned* milliwatts) {
  return ask(__func__, "power_limit", device, milliwatts != nullptr,
             [&](State&, const View& view) { return answer(view.gpu->power_limit, milliwatts, 1000); });
}

FAKE_NVML_API nvmlReturn_t nvmlDeviceGetTotalEnergyConsumption(nvmlDevice_t device,
                                                               std::uint64_t* millijoules) {
  return ask(__func__, "energy", device, millijoules != nullptr, [&](State& state, const View& view) {
    if (!view.gpu->energy) return NVML_ERROR_NOT_SUPPORTED;
    return answer(std::optional(*view.gpu->energy + state.totals(*view.gpu).energy), millijoules, 1000);
  });
}

FAKE_NVML_API nvmlReturn_t nvmlDeviceGetClockInfo(nvmlDevice_t device, unsigned type, unsigned* mhz) {
  return ask(__func__, "clocks", device, mhz != nullptr, [&](State&, const View& view) {
    if (type > 3) return NVML_ERROR_INVALID_ARGUMENT;
    if (!view.gpu->clocks || (type != 1 && type != 2)) return NVML_ERROR_NOT_SUPPORTED;
    *mhz = type == 1 ? view.gpu->clocks->sm : view.gpu->clocks->memory;
    return NVML_SUCCESS;
  });
}

FAKE_NVML_API nvmlReturn_t nvmlDeviceGetFanSpeed(nvmlDevice_t device, unsigned* percent) {
  return ask(__func__, "fan_speed", device, percent != nullptr,
             [&](State&, const View& view) { return answer(view.gpu->fan_speed, percent); });
}

FAKE_NVML_API nvmlReturn_t nvmlDeviceGetCurrentClocksEventReasons(nvmlDevice_t device, std::uint64_t* mask) {
  return throttle(__func__, device, mask);
}

FAKE_NVML_API nvmlReturn_t nvmlDeviceGetCurrentClocksThrottleReasons(nvmlDevice_t device,
                                                                     std::uint64_t* mask) {
  return throttle(__func__, device, mask);
}

FAKE_NVML_API nvmlReturn_t nvmlDeviceGetComputeMode(nvmlDevice_t device, unsigned* mode) {
  return ask(__func__, "compute_mode", device, mode != nullptr, [&](State&, const View& view) {
    *mode = view.gpu->compute_mode;
    return NVML_SUCCESS;
  });
}

FAKE_NVML_API nvmlReturn_t nvmlDeviceGetPersistenceMode(nvmlDevice_t device, unsigned* mode) {
  return ask(__func__, "persistence_mode", device, mode != nullptr, [&](State&, const View& view) {
    *mode = view.gpu->persistence_mode;
    return NVML_SUCCESS;
  });
}

FAKE_NVML_API nvmlReturn_t nvmlDeviceGetPcieThroughput(nvmlDevice_t device, unsigned counter,
                                                       unsigned* kilobytes_per_s) {
  const bool arguments = counter <= 1 && kilobytes_per_s;
  unsigned value = 0;
  const auto result = ask(__func__, "pcie", device, arguments, [&](State&, const View& view) {
    if (!view.gpu->pcie) return NVML_ERROR_NOT_SUPPORTED;
    const double rate = counter == 0 ? view.gpu->pcie->tx : view.gpu->pcie->rx;
    value = static_cast<unsigned>(rate / 1000);
    return NVML_SUCCESS;
  });
  if (result != NVML_SUCCESS) return result;
  // The driver counts for 20 ms. Here nothing is held, so that other calls go on.
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  *kilobytes_per_s = value;
  return result;
}
