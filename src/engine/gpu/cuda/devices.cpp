#include <cuda_runtime_api.h>

#include "common/base/error.h"
#include "engine/gpu/cuda/check.h"
#include "engine/gpu/runtime.h"

namespace saemill::gpu {
namespace {

struct Inventory {
  std::string unavailable;
  std::vector<Device> devices;
};

std::string uuid_text(const cudaUUID_t& uuid) {
  std::string text = "GPU-";
  for (int i = 0; i < 16; ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    text += fmt::format("{:02x}", static_cast<unsigned char>(uuid.bytes[i]));
  }
  return text;
}

std::string version_text(int version) {
  return fmt::format("{}.{}", version / 1000, version % 1000 / 10);
}

std::string why_not(cudaError_t result, int driver, int runtime) {
  if (result == cudaErrorInsufficientDriver && driver == 0)
    return "no NVIDIA driver: libcuda.so.1 was not found";
  if (result == cudaErrorInsufficientDriver)
    return fmt::format("the NVIDIA driver is too old: it supports CUDA {}, this program needs {}",
                       version_text(driver), version_text(runtime));
  if (result == cudaErrorNoDevice)
    return "no NVIDIA GPU is visible to this process (see nvidia-smi and CUDA_VISIBLE_DEVICES)";
  return fmt::format("CUDA does not start: {} ({})", cudaGetErrorName(result), cudaGetErrorString(result));
}

Device describe(int index, int driver, int runtime) {
  cudaDeviceProp p{};
  char bus[32] = "";
  if (cudaGetDeviceProperties(&p, index) != cudaSuccess ||
      cudaDeviceGetPCIBusId(bus, sizeof bus, index) != cudaSuccess)
    fail(ErrorCode::retry, "GPU {} does not answer: {}", index, cudaGetErrorName(cudaGetLastError()));
  Device device;
  device.index = index;
  device.uuid = uuid_text(p.uuid);
  device.name = p.name;
  device.pci_bus_id = bus;
  device.capability_major = p.major;
  device.capability_minor = p.minor;
  device.multiprocessors = p.multiProcessorCount;
  device.memory_bytes = p.totalGlobalMem;
  device.l2_bytes = static_cast<size_t>(p.l2CacheSize);
  device.shared_bytes = p.sharedMemPerBlockOptin;
  device.driver_version = driver;
  device.runtime_version = runtime;
  return device;
}

Inventory read_inventory() {
  Inventory inventory;
  int driver = 0, runtime = 0, count = 0;
  cudaDriverGetVersion(&driver);
  cudaRuntimeGetVersion(&runtime);
  const cudaError_t result = cudaGetDeviceCount(&count);
  cudaGetLastError();
  if (result != cudaSuccess || count == 0) {
    inventory.unavailable = why_not(result == cudaSuccess ? cudaErrorNoDevice : result, driver, runtime);
    return inventory;
  }
  for (int i = 0; i < count; ++i) inventory.devices.push_back(describe(i, driver, runtime));
  return inventory;
}

const Inventory& inventory() {
  static const Inventory kInventory = read_inventory();
  return kInventory;
}

}  // namespace

std::string unavailable() {
  return inventory().unavailable;
}

const std::vector<Device>& devices() {
  return inventory().devices;
}

void use_device(int index) {
  check(cudaSetDevice(index), "choosing the device");
}

int current_device() {
  int index = 0;
  check(cudaGetDevice(&index), "asking for the device");
  return index;
}

MemoryInfo memory_info() {
  MemoryInfo info;
  check(cudaMemGetInfo(&info.free_bytes, &info.total_bytes), "asking for free memory");
  return info;
}

}  // namespace saemill::gpu
