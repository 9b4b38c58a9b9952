#include "control/monitor/nvml/nvml_events.h"

#include <algorithm>

namespace saemill::nvml {
namespace {

constexpr uint64_t kWanted = kEventXid | kEventDoubleBitEcc | kEventMigConfig;
constexpr int kMostAtOnce = 256;  // an error storm must not keep the thread from sampling

}  // namespace

void EventQueue::open(std::vector<Source> sources) {
  const auto same = [](const Source& a, const Source& b) { return a.handle == b.handle && a.uuid == b.uuid; };
  if (set_ != nullptr && std::equal(sources.begin(), sources.end(), sources_.begin(), sources_.end(), same))
    return;
  close();
  sources_ = std::move(sources);
  if (library_.call(library_.event_set_create, &set_) != kSuccess) {
    set_ = nullptr;
    return;
  }
  for (const Source& source : sources_) {
    uint64_t supported = 0;
    if (library_.call(library_.supported_events, source.handle, &supported) != kSuccess) continue;
    if ((supported & kWanted) != 0)
      library_.call(library_.register_events, source.handle, supported & kWanted, set_);
  }
}

void EventQueue::close() {
  if (set_ != nullptr) library_.call(library_.event_set_free, set_);
  set_ = nullptr;
}

std::vector<GpuEvent> EventQueue::poll() {
  std::vector<GpuEvent> events;
  for (int i = 0; set_ != nullptr && i < kMostAtOnce; ++i) {
    EventData data{};
    const int result = library_.call(library_.event_wait, set_, &data, 0U);
    if (result == kUnknown) {  // the set is broken; NVML's advice is to make a new one
      auto sources = std::move(sources_);
      close();
      open(std::move(sources));
      break;
    }
    if (result != kSuccess) break;
    const auto from = std::find_if(sources_.begin(), sources_.end(),
                                   [&](const Source& source) { return source.handle == data.device; });
    if (from == sources_.end()) continue;
    events.push_back({.uuid = from->uuid,
                      .xid = data.type == kEventXid ? static_cast<int64_t>(data.data) : 0,
                      .mig_config = data.type == kEventMigConfig,
                      .double_bit_ecc = data.type == kEventDoubleBitEcc});
  }
  return events;
}

}  // namespace saemill::nvml
