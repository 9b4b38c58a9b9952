#include "control/monitor/nvml/nvml_reader.h"

#include <algorithm>
#include <array>

namespace saemill::nvml {
namespace {

constexpr double kEnumerateSeconds = 60;
constexpr double kRetrySeconds = 5;  // while a GPU is lost or refuses
constexpr double kSlowSeconds = 30;
constexpr unsigned kMostMig = 16;

std::unique_ptr<Gpu> take(std::vector<std::unique_ptr<Gpu>>& from, const auto& wanted) {
  const auto at =
      std::find_if(from.begin(), from.end(), [&](const auto& gpu) { return gpu && wanted(*gpu); });
  return at != from.end() ? std::move(*at) : nullptr;
}

}  // namespace

Reader::Reader(std::shared_ptr<Library> library) : library_(std::move(library)), events_(*library_) {}

Reader::~Reader() {
  close();
}

int Reader::open() {
  if (open_) return kSuccess;
  int result = library_->call(library_->init_with_flags, kInitNoGpus);
  if (result == kFunctionNotFound) result = library_->call(library_->init);
  driver_gone_ = driver_gone_ || result != kSuccess;
  if (result != kSuccess) return result;
  open_ = stale_ = true;
  std::array<char, 96> text{};
  const auto size = static_cast<unsigned>(text.size());
  const auto version = [&](auto& symbol) {
    return library_->call(symbol, text.data(), size) == kSuccess ? std::string(text.data()) : std::string();
  };
  driver_version_ = version(library_->driver_version);
  library_version_ = version(library_->library_version);
  return result;
}

void Reader::close() {
  if (!open_) return;
  events_.close();
  library_->call(library_->shutdown);
  open_ = false;
}

bool Reader::must_enumerate(double now) {
  unsigned count = 0;
  if (library_->call(library_->count, &count) == kSuccess && count != count_) return true;
  const bool failing =
      std::any_of(gpus_.begin(), gpus_.end(), [](const auto& gpu) { return !gpu->usable(); });
  return stale_ || now - enumerated_ >= (failing ? kRetrySeconds : kEnumerateSeconds);
}

void Reader::add_gpu(unsigned index, std::vector<std::unique_ptr<Gpu>>& earlier) {
  Handle handle = nullptr;
  const int result = library_->call(library_->handle, index, &handle);
  auto gpu = std::make_unique<Gpu>(*library_, index, handle, result);
  const auto before =
      take(earlier, [&](const Gpu& other) { return other.device().uuid == gpu->device().uuid; });
  if (before) gpu->adopt(*before);
  if (driver_gone_ && gpu->usable()) gpu->tracker().on_reset();
  gpus_.push_back(std::move(gpu));
}

namespace {

// A GPU that fell off the bus does not tell its uuid any more: it is the one that is missing.
void name_the_lost(std::vector<std::unique_ptr<Gpu>>& gpus, std::vector<std::unique_ptr<Gpu>>& earlier) {
  for (auto& gpu : gpus) {
    if (!gpu->device().lost || !gpu->device().uuid.starts_with("unreadable-")) continue;
    auto known = take(earlier, [&](const Gpu& other) {
      return other.device().kind == DeviceKind::gpu && other.nvml_index() == gpu->nvml_index();
    });
    if (!known)
      known = take(earlier, [](const Gpu& other) { return other.device().kind == DeviceKind::gpu; });
    if (!known) continue;
    known->set_failure(gpu->failure().value_or(kGpuIsLost));
    gpu = std::move(known);
  }
}

}  // namespace

void Reader::add_mig_instances(std::vector<std::unique_ptr<Gpu>>& earlier) {
  std::vector<std::unique_ptr<Gpu>> all;
  for (auto& gpu : gpus_) {
    all.push_back(std::move(gpu));
    Gpu& parent = *all.back();
    unsigned current = 0, pending = 0, count = 0;
    if (!parent.usable() ||
        library_->call(library_->mig_mode, parent.handle(), &current, &pending) != kSuccess || current == 0)
      continue;
    parent.set_mig_parent();
    if (library_->call(library_->mig_count, parent.handle(), &count) != kSuccess) count = kMostMig;
    for (unsigned i = 0; i < std::min(count, kMostMig); ++i) {
      Handle handle = nullptr;
      if (library_->call(library_->mig_handle, parent.handle(), i, &handle) != kSuccess) continue;
      auto instance = std::make_unique<Gpu>(*library_, handle, parent);
      const auto before =
          take(earlier, [&](const Gpu& other) { return other.device().uuid == instance->device().uuid; });
      if (before) instance->adopt(*before);
      all.push_back(std::move(instance));
    }
  }
  gpus_ = std::move(all);
}

int Reader::enumerate() {
  unsigned count = 0;
  const int result = library_->call(library_->count, &count);
  if (result != kSuccess) return result;
  auto earlier = std::move(gpus_);
  gpus_.clear();
  for (unsigned index = 0; index < count; ++index) add_gpu(index, earlier);
  name_the_lost(gpus_, earlier);
  add_mig_instances(earlier);
  topology_ = read_topology(*library_, gpus_);
  std::vector<EventQueue::Source> sources;
  for (const auto& gpu : gpus_) {
    if (gpu->usable() && gpu->device().kind == DeviceKind::gpu)
      sources.push_back({gpu->handle(), gpu->device().uuid});
  }
  events_.open(std::move(sources));
  count_ = count;
  stale_ = driver_gone_ = false;
  return kSuccess;
}

Reading Reader::read(double now, double epoch) {
  Reading reading;
  reading.result = open();
  bool slow = now - read_slow_ >= kSlowSeconds;
  if (reading.result == kSuccess && must_enumerate(now)) {
    // A GPU that came back after a rescan of the bus is seen only by a new session.
    const auto lost = [](const auto& gpu) { return gpu->device().lost.has_value(); };
    if (std::any_of(gpus_.begin(), gpus_.end(), lost)) close(), reading.result = open();
    if (reading.result == kSuccess) reading.result = enumerate();
    enumerated_ = now;
    slow = true;
  }
  if (reading.result != kSuccess) {
    driver_gone_ = true;
    close();
    return reading;
  }
  if (slow) read_slow_ = now;
  reading.events = events_.poll();
  for (const GpuEvent& event : reading.events) {
    for (const auto& gpu : gpus_) {
      if (gpu->device().uuid == event.uuid && event.xid != 0) gpu->tracker().on_xid(event.xid, epoch);
    }
    stale_ = stale_ || event.mig_config;
    slow = slow || event.double_bit_ecc || event.xid != 0;  // reads the counters and the recovery action
  }
  for (const auto& gpu : gpus_) {
    gpu->read(slow, now, epoch);
    reading.devices.push_back(gpu->device());
  }
  reading.driver_version = driver_version_;
  reading.library_version = library_version_;
  reading.topology = topology_;
  const auto gone = [](const auto& gpu) { return gpu->failure() == kUninitialized; };
  if (std::any_of(gpus_.begin(), gpus_.end(), gone)) {
    driver_gone_ = true;
    close();
  }
  return reading;
}

}  // namespace saemill::nvml
