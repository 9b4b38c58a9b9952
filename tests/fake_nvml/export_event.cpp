#include <algorithm>
#include <chrono>
#include <thread>

#include "state.h"

using namespace fake_nvml;

namespace {

std::uint64_t supported_events(const Gpu& gpu) {
  return NVML_EVENT_XID_CRITICAL | (gpu.ecc ? NVML_EVENT_DOUBLE_BIT_ECC : 0);
}

}  // namespace

FAKE_NVML_API nvmlReturn_t nvmlEventSetCreate(nvmlEventSet_t* set) {
  State& state = State::get();
  Lock lock(state.mutex());
  if (const auto error = state.enter(lock, __func__)) return error;
  if (!set) return NVML_ERROR_INVALID_ARGUMENT;
  *set = state.create_set();
  return NVML_SUCCESS;
}

FAKE_NVML_API nvmlReturn_t nvmlEventSetFree(nvmlEventSet_t set) {
  State& state = State::get();
  Lock lock(state.mutex());
  if (const auto error = state.enter(lock, __func__)) return error;
  if (!state.has_set(set)) return NVML_ERROR_INVALID_ARGUMENT;
  state.free_set(set);
  return NVML_SUCCESS;
}

FAKE_NVML_API nvmlReturn_t nvmlDeviceGetSupportedEventTypes(nvmlDevice_t device, std::uint64_t* types) {
  return ask(__func__, "events", device, types != nullptr, [&](State&, const View& view) {
    *types = supported_events(*view.gpu);
    return NVML_SUCCESS;
  });
}

FAKE_NVML_API nvmlReturn_t nvmlDeviceRegisterEvents(nvmlDevice_t device, std::uint64_t types,
                                                    nvmlEventSet_t set) {
  return ask(__func__, "events", device, set != nullptr, [&](State& state, const View& view) {
    if (!state.has_set(set)) return NVML_ERROR_INVALID_ARGUMENT;
    if (types & ~supported_events(*view.gpu)) return NVML_ERROR_NOT_SUPPORTED;
    set->registered[view.gpu->key] |= types;
    return NVML_SUCCESS;
  });
}

FAKE_NVML_API nvmlReturn_t nvmlEventSetWait_v2(nvmlEventSet_t set, nvmlEventData_t* data,
                                               unsigned timeout_ms) {
  using Clock = std::chrono::steady_clock;
  const auto deadline = Clock::now() + std::chrono::milliseconds(timeout_ms);
  State& state = State::get();
  Lock lock(state.mutex());
  if (const auto error = state.enter(lock, __func__, true, std::to_string(timeout_ms))) return error;
  if (!data) return NVML_ERROR_INVALID_ARGUMENT;
  while (true) {
    // Both may have been given up while this slept.
    if (!state.initialized()) return NVML_ERROR_UNINITIALIZED;
    if (!state.has_set(set)) return NVML_ERROR_INVALID_ARGUMENT;
    if (state.take_event(set, *data)) return NVML_SUCCESS;
    const auto left = deadline - Clock::now();
    if (left <= Clock::duration::zero()) return NVML_ERROR_TIMEOUT;
    lock.unlock();
    // In slices, as an event may come with another scenario.
    std::this_thread::sleep_for(std::min<Clock::duration>(left, std::chrono::milliseconds(10)));
    lock.lock();
    state.refresh();
  }
}
