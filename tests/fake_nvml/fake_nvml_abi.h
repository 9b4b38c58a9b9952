// NVML's binary interface as NVIDIA's driver ships it, written down from its documentation. Deliberately not
// shared with src/: a mistake in the product's own declarations must show here as a difference.
#pragma once

#include <cstddef>
#include <cstdint>

#define FAKE_NVML_API extern "C" __attribute__((visibility("default")))

struct nvmlDevice_st;
struct nvmlEventSet_st;
using nvmlDevice_t = nvmlDevice_st*;
using nvmlEventSet_t = nvmlEventSet_st*;

using nvmlReturn_t = unsigned;
inline constexpr nvmlReturn_t NVML_SUCCESS = 0;
inline constexpr nvmlReturn_t NVML_ERROR_UNINITIALIZED = 1;
inline constexpr nvmlReturn_t NVML_ERROR_INVALID_ARGUMENT = 2;
inline constexpr nvmlReturn_t NVML_ERROR_NOT_SUPPORTED = 3;
inline constexpr nvmlReturn_t NVML_ERROR_NOT_FOUND = 6;
inline constexpr nvmlReturn_t NVML_ERROR_INSUFFICIENT_SIZE = 7;
inline constexpr nvmlReturn_t NVML_ERROR_DRIVER_NOT_LOADED = 9;
inline constexpr nvmlReturn_t NVML_ERROR_TIMEOUT = 10;
inline constexpr nvmlReturn_t NVML_ERROR_FUNCTION_NOT_FOUND = 13;
inline constexpr nvmlReturn_t NVML_ERROR_GPU_IS_LOST = 15;
inline constexpr nvmlReturn_t NVML_ERROR_ARGUMENT_VERSION_MISMATCH = 25;

inline constexpr std::uint64_t NVML_VALUE_NOT_AVAILABLE = ~std::uint64_t{0};
inline constexpr unsigned NVML_NVLINK_MAX_LINKS = 18;

struct nvmlPciInfo_t {
  char busIdLegacy[16];
  unsigned domain;
  unsigned bus;
  unsigned device;
  unsigned pciDeviceId;
  unsigned pciSubSystemId;
  char busId[32];
};
static_assert(sizeof(nvmlPciInfo_t) == 68 && offsetof(nvmlPciInfo_t, domain) == 16);
static_assert(offsetof(nvmlPciInfo_t, pciDeviceId) == 28 && offsetof(nvmlPciInfo_t, busId) == 36);

struct nvmlMemory_t {
  std::uint64_t total;
  std::uint64_t free;
  std::uint64_t used;
};
static_assert(sizeof(nvmlMemory_t) == 24 && offsetof(nvmlMemory_t, used) == 16);

struct nvmlMemory_v2_t {
  unsigned version;
  std::uint64_t total;
  std::uint64_t reserved;
  std::uint64_t free;
  std::uint64_t used;
};
static_assert(sizeof(nvmlMemory_v2_t) == 40 && offsetof(nvmlMemory_v2_t, total) == 8);
static_assert(offsetof(nvmlMemory_v2_t, reserved) == 16 && offsetof(nvmlMemory_v2_t, used) == 32);
inline constexpr unsigned NVML_MEMORY_V2 = 0x02000028;

struct nvmlUtilization_t {
  unsigned gpu;
  unsigned memory;
};
static_assert(sizeof(nvmlUtilization_t) == 8 && offsetof(nvmlUtilization_t, memory) == 4);

struct nvmlTemperature_v1_t {
  unsigned version;
  unsigned sensorType;
  int temperature;
};
static_assert(sizeof(nvmlTemperature_v1_t) == 12 && offsetof(nvmlTemperature_v1_t, temperature) == 8);
inline constexpr unsigned NVML_TEMPERATURE_V1 = 0x0100000C;

union nvmlValue_t {
  double dVal;
  unsigned uiVal;
  std::uint64_t ullVal;
};
static_assert(sizeof(nvmlValue_t) == 8);
inline constexpr unsigned NVML_VALUE_TYPE_UNSIGNED_INT = 1;
inline constexpr unsigned NVML_VALUE_TYPE_UNSIGNED_LONG_LONG = 3;

struct nvmlFieldValue_t {
  unsigned fieldId;
  unsigned scopeId;
  std::int64_t timestamp;
  std::int64_t latencyUsec;
  unsigned valueType;
  nvmlReturn_t nvmlReturn;
  nvmlValue_t value;
};
static_assert(sizeof(nvmlFieldValue_t) == 40 && offsetof(nvmlFieldValue_t, timestamp) == 8);
static_assert(offsetof(nvmlFieldValue_t, valueType) == 24 && offsetof(nvmlFieldValue_t, value) == 32);

inline constexpr unsigned NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_TX = 138;
inline constexpr unsigned NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_RX = 139;
inline constexpr unsigned NVML_FI_DEV_REMAPPED_COR = 142;
inline constexpr unsigned NVML_FI_DEV_REMAPPED_UNC = 143;
inline constexpr unsigned NVML_FI_DEV_REMAPPED_PENDING = 144;
inline constexpr unsigned NVML_FI_DEV_REMAPPED_FAILURE = 145;
inline constexpr unsigned NVML_FI_DEV_PCIE_COUNT_TX_BYTES = 197;
inline constexpr unsigned NVML_FI_DEV_PCIE_COUNT_RX_BYTES = 198;
inline constexpr unsigned NVML_FI_DEV_GET_GPU_RECOVERY_ACTION = 230;

// What the _v2 functions write, and the _v3 functions of every driver but R535's first releases.
struct nvmlProcessInfo_v2_t {
  unsigned pid;
  std::uint64_t usedGpuMemory;
  unsigned gpuInstanceId;
  unsigned computeInstanceId;
};
static_assert(sizeof(nvmlProcessInfo_v2_t) == 24 && offsetof(nvmlProcessInfo_v2_t, usedGpuMemory) == 8);
static_assert(offsetof(nvmlProcessInfo_v2_t, gpuInstanceId) == 16);
static_assert(offsetof(nvmlProcessInfo_v2_t, computeInstanceId) == 20);

struct nvmlProcessInfo_535_t {
  unsigned pid;
  std::uint64_t usedGpuMemory;
  unsigned gpuInstanceId;
  unsigned computeInstanceId;
  std::uint64_t usedGpuCcProtectedMemory;
};
static_assert(sizeof(nvmlProcessInfo_535_t) == 32 && offsetof(nvmlProcessInfo_535_t, usedGpuMemory) == 8);
static_assert(offsetof(nvmlProcessInfo_535_t, computeInstanceId) == 20);
static_assert(offsetof(nvmlProcessInfo_535_t, usedGpuCcProtectedMemory) == 24);

struct nvmlEventData_t {
  nvmlDevice_t device;
  std::uint64_t eventType;
  std::uint64_t eventData;
  unsigned gpuInstanceId;
  unsigned computeInstanceId;
};
static_assert(sizeof(nvmlEventData_t) == 32 && offsetof(nvmlEventData_t, eventType) == 8);
static_assert(offsetof(nvmlEventData_t, eventData) == 16 && offsetof(nvmlEventData_t, gpuInstanceId) == 24);
inline constexpr std::uint64_t NVML_EVENT_DOUBLE_BIT_ECC = 2;
inline constexpr std::uint64_t NVML_EVENT_XID_CRITICAL = 8;
