// The driver's libnvidia-ml.so.1, opened at run time. Every symbol is optional: a call to one that is not
// there answers kFunctionNotFound. Each call is watched, so that another thread can see which one hangs.
#pragma once

#include <algorithm>
#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "control/monitor/nvml/nvml_abi.h"

namespace saemill::nvml {

// X(member, name in the library, (arguments))
#define SAEMILL_NVML_SYMBOLS(X)                                                                     \
  X(init_with_flags, nvmlInitWithFlags, (unsigned))                                                 \
  X(init, nvmlInit_v2, ())                                                                          \
  X(shutdown, nvmlShutdown, ())                                                                     \
  X(driver_version, nvmlSystemGetDriverVersion, (char*, unsigned))                                  \
  X(library_version, nvmlSystemGetNVMLVersion, (char*, unsigned))                                   \
  X(count, nvmlDeviceGetCount_v2, (unsigned*))                                                      \
  X(handle, nvmlDeviceGetHandleByIndex_v2, (unsigned, Handle*))                                     \
  X(uuid, nvmlDeviceGetUUID, (Handle, char*, unsigned))                                             \
  X(name, nvmlDeviceGetName, (Handle, char*, unsigned))                                             \
  X(pci_info, nvmlDeviceGetPciInfo_v3, (Handle, PciInfo*))                                          \
  X(memory_v1, nvmlDeviceGetMemoryInfo, (Handle, MemoryV1*))                                        \
  X(memory_v2, nvmlDeviceGetMemoryInfo_v2, (Handle, MemoryV2*))                                     \
  X(utilization, nvmlDeviceGetUtilizationRates, (Handle, Utilization*))                             \
  X(temperature_v1, nvmlDeviceGetTemperature, (Handle, unsigned, unsigned*))                        \
  X(temperature, nvmlDeviceGetTemperatureV, (Handle, TemperatureV1*))                               \
  X(power_usage, nvmlDeviceGetPowerUsage, (Handle, unsigned*))                                      \
  X(power_limit, nvmlDeviceGetEnforcedPowerLimit, (Handle, unsigned*))                              \
  X(energy, nvmlDeviceGetTotalEnergyConsumption, (Handle, uint64_t*))                               \
  X(clock, nvmlDeviceGetClockInfo, (Handle, unsigned, unsigned*))                                   \
  X(fan_speed, nvmlDeviceGetFanSpeed, (Handle, unsigned*))                                          \
  X(event_reasons, nvmlDeviceGetCurrentClocksEventReasons, (Handle, uint64_t*))                     \
  X(throttle_reasons, nvmlDeviceGetCurrentClocksThrottleReasons, (Handle, uint64_t*))               \
  X(field_values, nvmlDeviceGetFieldValues, (Handle, int, FieldValue*))                             \
  X(ecc_errors, nvmlDeviceGetTotalEccErrors, (Handle, unsigned, unsigned, uint64_t*))               \
  X(remapped_rows, nvmlDeviceGetRemappedRows, (Handle, unsigned*, unsigned*, unsigned*, unsigned*)) \
  X(compute_mode, nvmlDeviceGetComputeMode, (Handle, unsigned*))                                    \
  X(persistence_mode, nvmlDeviceGetPersistenceMode, (Handle, unsigned*))                            \
  X(compute_processes, nvmlDeviceGetComputeRunningProcesses_v3, (Handle, unsigned*, void*))         \
  X(graphics_processes, nvmlDeviceGetGraphicsRunningProcesses_v3, (Handle, unsigned*, void*))       \
  X(mps_processes, nvmlDeviceGetMPSComputeRunningProcesses_v3, (Handle, unsigned*, void*))          \
  X(compute_processes_v2, nvmlDeviceGetComputeRunningProcesses_v2, (Handle, unsigned*, void*))      \
  X(graphics_processes_v2, nvmlDeviceGetGraphicsRunningProcesses_v2, (Handle, unsigned*, void*))    \
  X(mps_processes_v2, nvmlDeviceGetMPSComputeRunningProcesses_v2, (Handle, unsigned*, void*))       \
  X(mig_mode, nvmlDeviceGetMigMode, (Handle, unsigned*, unsigned*))                                 \
  X(mig_count, nvmlDeviceGetMaxMigDeviceCount, (Handle, unsigned*))                                 \
  X(mig_handle, nvmlDeviceGetMigDeviceHandleByIndex, (Handle, unsigned, Handle*))                   \
  X(common_ancestor, nvmlDeviceGetTopologyCommonAncestor, (Handle, Handle, unsigned*))              \
  X(nvlink_state, nvmlDeviceGetNvLinkState, (Handle, unsigned, unsigned*))                          \
  X(nvlink_remote, nvmlDeviceGetNvLinkRemotePciInfo_v2, (Handle, unsigned, PciInfo*))               \
  X(nvlink_remote_type, nvmlDeviceGetNvLinkRemoteDeviceType, (Handle, unsigned, unsigned*))         \
  X(event_set_create, nvmlEventSetCreate, (EventSet*))                                              \
  X(supported_events, nvmlDeviceGetSupportedEventTypes, (Handle, uint64_t*))                        \
  X(register_events, nvmlDeviceRegisterEvents, (Handle, uint64_t, EventSet))                        \
  X(event_wait, nvmlEventSetWait_v2, (EventSet, EventData*, unsigned))                              \
  X(event_set_free, nvmlEventSetFree, (EventSet))

template <typename Signature>
struct Symbol {
  const char* name;
  Signature* function = nullptr;  // null: this driver's library has none
  double seconds = 0, slowest = 0;
  int64_t calls = 0;
};

struct CallCost {
  std::string name;
  int64_t calls = 0;
  double mean_ms = 0, max_ms = 0;
};

// One thread calls; current_call() and hanging_for() may be asked by any.
class Library {
 public:
  // Null, and `why` says what was tried, where there is no such library.
  static std::shared_ptr<Library> open(std::string& why);
  ~Library();
  Library(const Library&) = delete;
  Library& operator=(const Library&) = delete;

#define SAEMILL_NVML_MEMBER(member, symbol, arguments) Symbol<int arguments> member{#symbol};
  SAEMILL_NVML_SYMBOLS(SAEMILL_NVML_MEMBER)
#undef SAEMILL_NVML_MEMBER

  template <typename Signature, typename... Args>
  int call(Symbol<Signature>& symbol, Args... args) {
    if (symbol.function == nullptr) return kFunctionNotFound;
    const double start = monotonic_seconds();
    current_ = symbol.name;
    started_ = start;
    const int result = symbol.function(args...);
    current_ = nullptr;
    const double seconds = monotonic_seconds() - start;
    symbol.seconds += seconds;
    symbol.slowest = std::max(symbol.slowest, seconds);
    ++symbol.calls;
    return result;
  }

  const char* current_call() const {
    return current_;
  }  // null: none
  double hanging_for() const {
    return current_ != nullptr ? monotonic_seconds() - started_ : 0;
  }

  // What the calls so far took, of the calling thread; symbols that were never called are left out.
  std::vector<CallCost> costs() const;
  std::vector<std::string> missing() const;
  const std::string& path() const {
    return path_;
  }

 private:
  Library(void* file, std::string path);
  void* file_;
  std::string path_;
  std::atomic<const char*> current_{nullptr};
  std::atomic<double> started_{0};
};

// "NVML_ERROR_GPU_IS_LOST (15): the GPU has fallen off the bus", in our words.
std::string describe(int result);

}  // namespace saemill::nvml
