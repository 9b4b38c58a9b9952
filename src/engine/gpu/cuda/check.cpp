#include "engine/gpu/cuda/check.h"

#include "common/base/error.h"
#include "engine/gpu/runtime.h"

namespace saemill::gpu {
namespace {

// Failures that another start, perhaps on another device, may not have. An illegal address or instruction
// takes the device from the process as well, but is a bug.
bool is_worth_a_restart(cudaError_t result) {
  switch (result) {
    case cudaErrorMemoryAllocation:
    case cudaErrorInitializationError:
    case cudaErrorLaunchFailure:
    case cudaErrorLaunchTimeout:
    case cudaErrorECCUncorrectable:
    case cudaErrorNvlinkUncorrectable:
    case cudaErrorHardwareStackError:
    case cudaErrorDevicesUnavailable:
    case cudaErrorSystemNotReady:
    case cudaErrorOperatingSystem:
    case cudaErrorUnknown:
      return true;
    default:
      return false;
  }
}

ErrorCode code_of(cudaError_t result) {
  switch (result) {
    case cudaErrorInsufficientDriver:
    case cudaErrorNoDevice:
    case cudaErrorNoKernelImageForDevice:
    case cudaErrorSystemDriverMismatch:
    case cudaErrorCompatNotSupportedOnDevice:
      return ErrorCode::bad_config;
    default:
      return is_worth_a_restart(result) ? ErrorCode::retry : ErrorCode::internal;
  }
}

std::string this_device() {
  int index = 0;
  if (cudaGetDevice(&index) != cudaSuccess) return "no GPU";
  for (const Device& device : devices())
    if (device.index == index) return fmt::format("GPU {} ({})", index, device.uuid);
  return fmt::format("GPU {}", index);
}

}  // namespace

void throw_cuda_error(cudaError_t result, const char* operation) {
  cudaGetLastError();  // else a later, unrelated check would report this one again
  const std::string reason = unavailable();
  if (!reason.empty()) fail(ErrorCode::bad_config, "{} failed: {}", operation, reason);
  fail(code_of(result), "{} failed on {}: {} ({})", operation, this_device(), cudaGetErrorName(result),
       cudaGetErrorString(result));
}

}  // namespace saemill::gpu
