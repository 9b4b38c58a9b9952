#include "state.h"

using namespace fake_nvml;

namespace {

nvmlReturn_t initialize(const char* symbol) {
  State& state = State::get();
  Lock lock(state.mutex());
  const auto error = state.enter(lock, symbol, false);
  return error ? error : state.initialize();
}

nvmlReturn_t version(const char* symbol, std::string Scenario::*member, char* out, unsigned length) {
  State& state = State::get();
  Lock lock(state.mutex());
  if (const auto error = state.enter(lock, symbol)) return error;
  if (!out) return NVML_ERROR_INVALID_ARGUMENT;
  return answer_text(state.scenario().*member, out, length);
}

// Where the visible GPU `index` is in the scenario's list.
std::optional<std::size_t> visible(const State& state, unsigned index) {
  for (std::size_t i = 0; i < state.scenario().gpus.size(); ++i)
    if (state.status(i).visible && index-- == 0) return i;
  return std::nullopt;
}

}  // namespace

FAKE_NVML_API nvmlReturn_t nvmlInitWithFlags(unsigned) {
  return initialize(__func__);
}

FAKE_NVML_API nvmlReturn_t nvmlInit_v2() {
  return initialize(__func__);
}

FAKE_NVML_API nvmlReturn_t nvmlShutdown() {
  State& state = State::get();
  Lock lock(state.mutex());
  const auto error = state.enter(lock, __func__);
  return error ? error : state.shut_down();
}

FAKE_NVML_API const char* nvmlErrorString(nvmlReturn_t result) {
  {
    State& state = State::get();
    Lock lock(state.mutex());
    state.enter(lock, __func__, false);
  }
  static const std::map<nvmlReturn_t, const char*> texts{{0, "Success"},
                                                         {1, "Uninitialized"},
                                                         {2, "Invalid Argument"},
                                                         {3, "Not Supported"},
                                                         {4, "Insufficient Permissions"},
                                                         {6, "Not Found"},
                                                         {7, "Insufficient Size"},
                                                         {9, "Driver Not Loaded"},
                                                         {10, "Timeout"},
                                                         {12, "NVML Shared Library Not Found"},
                                                         {13, "Function Not Found"},
                                                         {15, "GPU is lost"},
                                                         {16, "GPU requires reset"},
                                                         {17, "GPU access blocked by the operating system"},
                                                         {18, "Driver/library version mismatch"},
                                                         {25, "Argument version mismatch"}};
  const auto found = texts.find(result);
  return found == texts.end() ? "Unknown Error" : found->second;
}

FAKE_NVML_API nvmlReturn_t nvmlSystemGetDriverVersion(char* out, unsigned length) {
  return version(__func__, &Scenario::driver_version, out, length);
}

FAKE_NVML_API nvmlReturn_t nvmlSystemGetNVMLVersion(char* out, unsigned length) {
  return version(__func__, &Scenario::nvml_version, out, length);
}

FAKE_NVML_API nvmlReturn_t nvmlDeviceGetCount_v2(unsigned* count) {
  State& state = State::get();
  Lock lock(state.mutex());
  if (const auto error = state.enter(lock, __func__)) return error;
  if (!count) return NVML_ERROR_INVALID_ARGUMENT;
  *count = 0;
  for (std::size_t i = 0; i < state.scenario().gpus.size(); ++i) *count += state.status(i).visible;
  return NVML_SUCCESS;
}

FAKE_NVML_API nvmlReturn_t nvmlDeviceGetHandleByIndex_v2(unsigned index, nvmlDevice_t* device) {
  State& state = State::get();
  Lock lock(state.mutex());
  if (const auto error = state.enter(lock, __func__)) return error;
  const auto gpu = visible(state, index);
  if (!device || !gpu) return NVML_ERROR_INVALID_ARGUMENT;
  const nvmlDevice_t found = state.handle(state.scenario().gpus[*gpu].key, false);
  View view;
  if (const auto error = state.admit(lock, __func__, "", found, view)) return error;
  *device = found;
  return NVML_SUCCESS;
}

FAKE_NVML_API nvmlReturn_t nvmlDeviceGetHandleByUUID(const char* uuid, nvmlDevice_t* device) {
  State& state = State::get();
  Lock lock(state.mutex());
  if (const auto error = state.enter(lock, __func__)) return error;
  if (!uuid || !device) return NVML_ERROR_INVALID_ARGUMENT;
  nvmlDevice_t found = nullptr;
  for (std::size_t i = 0; i < state.scenario().gpus.size(); ++i) {
    const Gpu& gpu = state.scenario().gpus[i];
    if (!state.status(i).visible) continue;
    if (gpu.uuid == uuid) found = state.handle(gpu.key, false);
    for (const auto& mig : gpu.mig.value_or(std::vector<Mig>{}))
      if (mig.uuid == uuid) found = state.handle(mig.uuid, true);
  }
  if (!found) return NVML_ERROR_NOT_FOUND;
  View view;
  if (const auto error = state.admit(lock, __func__, "", found, view)) return error;
  *device = found;
  return NVML_SUCCESS;
}
