// Running processes, and the MIG instances that they may run in.
#include <algorithm>

#include "state.h"

using namespace fake_nvml;

namespace {

// What a whole GPU says for its processes' instances.
constexpr unsigned kNoInstance = ~0U;

void collect(const std::vector<Process>& processes, const std::string& type, unsigned gpu_instance,
             unsigned compute_instance, std::vector<nvmlProcessInfo_v2_t>& found) {
  for (const auto& process : processes)
    if (process.type == type)
      found.push_back({process.pid, process.memory_used, gpu_instance, compute_instance});
}

std::vector<nvmlProcessInfo_v2_t> running(const View& view, const std::string& type) {
  std::vector<nvmlProcessInfo_v2_t> found;
  if (!view.mig) collect(view.gpu->processes, type, kNoInstance, kNoInstance, found);
  // A GPU's own handle shows what runs in its instances too.
  if (view.gpu->mig)
    for (const auto& mig : *view.gpu->mig)
      if (!view.mig || view.mig == &mig)
        collect(mig.processes, type, mig.gpu_instance_id, mig.compute_instance_id, found);
  return found;
}

nvmlReturn_t processes(const char* symbol, bool v3, const char* type, nvmlDevice_t device, unsigned* count,
                       void* infos) {
  const auto body = [&](State& state, const View& view) {
    const auto found = running(view, type);
    const bool fits = found.size() <= *count;
    *count = static_cast<unsigned>(found.size());
    if (!fits) return NVML_ERROR_INSUFFICIENT_SIZE;
    if (v3 && state.scenario().process_struct_535)
      std::transform(found.begin(), found.end(), static_cast<nvmlProcessInfo_535_t*>(infos), [](auto& info) {
        return nvmlProcessInfo_535_t{info.pid, info.usedGpuMemory, info.gpuInstanceId, info.computeInstanceId,
                                     0};
      });
    else
      std::copy(found.begin(), found.end(), static_cast<nvmlProcessInfo_v2_t*>(infos));
    return NVML_SUCCESS;
  };
  return ask(symbol, "processes", device, count && (infos || *count == 0), body, true);
}

}  // namespace

FAKE_NVML_API nvmlReturn_t nvmlDeviceGetComputeRunningProcesses_v3(nvmlDevice_t device, unsigned* count,
                                                                   void* infos) {
  return processes(__func__, true, "compute", device, count, infos);
}

FAKE_NVML_API nvmlReturn_t nvmlDeviceGetGraphicsRunningProcesses_v3(nvmlDevice_t device, unsigned* count,
                                                                    void* infos) {
  return processes(__func__, true, "graphics", device, count, infos);
}

FAKE_NVML_API nvmlReturn_t nvmlDeviceGetMPSComputeRunningProcesses_v3(nvmlDevice_t device, unsigned* count,
                                                                      void* infos) {
  return processes(__func__, true, "mps", device, count, infos);
}

FAKE_NVML_API nvmlReturn_t nvmlDeviceGetComputeRunningProcesses_v2(nvmlDevice_t device, unsigned* count,
                                                                   void* infos) {
  return processes(__func__, false, "compute", device, count, infos);
}

FAKE_NVML_API nvmlReturn_t nvmlDeviceGetGraphicsRunningProcesses_v2(nvmlDevice_t device, unsigned* count,
                                                                    void* infos) {
  return processes(__func__, false, "graphics", device, count, infos);
}

FAKE_NVML_API nvmlReturn_t nvmlDeviceGetMPSComputeRunningProcesses_v2(nvmlDevice_t device, unsigned* count,
                                                                      void* infos) {
  return processes(__func__, false, "mps", device, count, infos);
}

FAKE_NVML_API nvmlReturn_t nvmlDeviceGetMigMode(nvmlDevice_t device, unsigned* current, unsigned* pending) {
  return ask(__func__, "mig", device, current && pending, [&](State&, const View& view) {
    if (!view.gpu->mig_capable) return NVML_ERROR_NOT_SUPPORTED;
    *current = *pending = view.gpu->mig.has_value();
    return NVML_SUCCESS;
  });
}

FAKE_NVML_API nvmlReturn_t nvmlDeviceGetMaxMigDeviceCount(nvmlDevice_t device, unsigned* count) {
  return ask(__func__, "mig", device, count != nullptr, [&](State&, const View& view) {
    // More than there are, as on a real GPU: the indices that are left are NOT_FOUND.
    *count = view.gpu->mig ? std::max(7U, static_cast<unsigned>(view.gpu->mig->size())) : 0;
    return NVML_SUCCESS;
  });
}

FAKE_NVML_API nvmlReturn_t nvmlDeviceGetMigDeviceHandleByIndex(nvmlDevice_t device, unsigned index,
                                                               nvmlDevice_t* out) {
  return ask(__func__, "mig", device, out != nullptr, [&](State& state, const View& view) {
    if (!view.gpu->mig) return NVML_ERROR_NOT_SUPPORTED;
    if (index >= view.gpu->mig->size()) return index < 7 ? NVML_ERROR_NOT_FOUND : NVML_ERROR_INVALID_ARGUMENT;
    *out = state.handle((*view.gpu->mig)[index].uuid, true);
    return NVML_SUCCESS;
  });
}

FAKE_NVML_API nvmlReturn_t nvmlDeviceGetGpuInstanceId(nvmlDevice_t device, unsigned* id) {
  const auto body = [&](State&, const View& view) {
    if (!view.mig) return NVML_ERROR_NOT_SUPPORTED;
    *id = view.mig->gpu_instance_id;
    return NVML_SUCCESS;
  };
  return ask(__func__, "mig", device, id != nullptr, body, true);
}

FAKE_NVML_API nvmlReturn_t nvmlDeviceGetComputeInstanceId(nvmlDevice_t device, unsigned* id) {
  const auto body = [&](State&, const View& view) {
    if (!view.mig) return NVML_ERROR_NOT_SUPPORTED;
    *id = view.mig->compute_instance_id;
    return NVML_SUCCESS;
  };
  return ask(__func__, "mig", device, id != nullptr, body, true);
}

FAKE_NVML_API nvmlReturn_t nvmlDeviceGetDeviceHandleFromMigDeviceHandle(nvmlDevice_t device,
                                                                        nvmlDevice_t* out) {
  const auto body = [&](State& state, const View& view) {
    if (!view.mig) return NVML_ERROR_INVALID_ARGUMENT;
    *out = state.handle(view.gpu->key, false);
    return NVML_SUCCESS;
  };
  return ask(__func__, "mig", device, out != nullptr, body, true);
}
