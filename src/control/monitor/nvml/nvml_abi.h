// The part of NVIDIA's management library (NVML) that saemill calls, declared by ourselves: Debian ships no
// header, and the library of the driver at hand is found at run time. Names, values and layouts are NVML's
// (its public API reference, versions 11 to 13).
#pragma once

#include <cstdint>

namespace saemill::nvml {

using Handle = struct HandleTag*;
using EventSet = struct EventSetTag*;

enum Return : int {
  kSuccess = 0,
  kUninitialized = 1,
  kInvalidArgument = 2,
  kNotSupported = 3,
  kNoPermission = 4,
  kNotFound = 6,
  kInsufficientSize = 7,
  kDriverNotLoaded = 9,
  kTimeout = 10,
  kFunctionNotFound = 13,
  kGpuIsLost = 15,
  kResetRequired = 16,
  kLibRmVersionMismatch = 18,
  kArgumentVersionMismatch = 25,
  kDeprecated = 26,
  kUnknown = 999,
};

inline constexpr unsigned kInitNoGpus = 1;    // succeed where the driver has no GPU
inline constexpr unsigned kInitNoAttach = 2;  // do not open every GPU at once
inline constexpr unsigned kClockSm = 1, kClockMemory = 2;
inline constexpr unsigned kEccCorrected = 0, kEccUncorrected = 1, kEccVolatile = 0;
inline constexpr unsigned kTemperatureGpu = 0;
inline constexpr uint64_t kNotAvailable = ~uint64_t{0};  // usedGpuMemory where the driver may not tell
inline constexpr uint32_t kNoInstance = 0xFFFFFFFF;

inline constexpr uint64_t kEventDoubleBitEcc = 2, kEventXid = 8, kEventMigConfig = 0x100;

struct PciInfo {
  char bus_id_legacy[16];
  uint32_t domain, bus, device, pci_device_id, pci_subsystem_id;
  char bus_id[32];
};
static_assert(sizeof(PciInfo) == 68);

struct Utilization {
  uint32_t gpu, memory;
};

struct MemoryV1 {
  uint64_t total, free, used;  // used includes what the driver reserves
};

struct MemoryV2 {
  uint32_t version;
  uint64_t total, reserved, free, used;
};
static_assert(sizeof(MemoryV2) == 40);

struct TemperatureV1 {
  uint32_t version, sensor;
  int32_t temperature;
};

template <typename Struct>
constexpr uint32_t versioned(uint32_t version) {
  return static_cast<uint32_t>(sizeof(Struct)) | (version << 24);
}

// What GetComputeRunningProcesses_v3 writes. Early 535 drivers wrote the long form under the same name.
struct ProcessShort {
  uint32_t pid;
  uint64_t used_memory;
  uint32_t gpu_instance, compute_instance;
};
struct ProcessLong {
  uint32_t pid;
  uint64_t used_memory;
  uint32_t gpu_instance, compute_instance;
  uint64_t protected_memory;
};
static_assert(sizeof(ProcessShort) == 24 && sizeof(ProcessLong) == 32);

struct FieldValue {
  uint32_t field, scope;
  int64_t timestamp, latency_us;
  uint32_t type;  // 0 double, 1 u32, 2 unsigned long, 3 u64, 4 i64
  int32_t result;
  union {
    double d;
    uint32_t u32;
    uint64_t u64;
    int64_t i64;
  } value;
};
static_assert(sizeof(FieldValue) == 40);

inline constexpr uint32_t kFieldNvlinkTx = 138, kFieldNvlinkRx = 139;  // KiB, all links by scope kAllLinks
inline constexpr uint32_t kFieldRemapPending = 144, kFieldRemapFailure = 145;
inline constexpr uint32_t kFieldPcieTxBytes = 197, kFieldPcieRxBytes = 198;
inline constexpr uint32_t kFieldRecoveryAction = 230;
inline constexpr uint32_t kAllLinks = 0xFFFFFFFF;

struct EventData {
  Handle device;
  uint64_t type, data;  // data of an XID event: its number, 999 where it is not known
  uint32_t gpu_instance, compute_instance;
};
static_assert(sizeof(EventData) == 32);

}  // namespace saemill::nvml
