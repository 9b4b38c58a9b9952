#include "state.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>
#include <thread>

#include "hide_symbols.h"

namespace fake_nvml {
namespace {

bool same_file(const struct stat& a, const struct stat& b) {
  return a.st_mtim.tv_sec == b.st_mtim.tv_sec && a.st_mtim.tv_nsec == b.st_mtim.tv_nsec &&
         a.st_size == b.st_size && a.st_ino == b.st_ino;
}

Totals growth(const Gpu& gpu, double seconds) {
  const Traffic pcie = gpu.pcie.value_or(Traffic{});
  const Traffic nvlink = gpu.nvlink.value_or(Traffic{});
  return {gpu.power_draw.value_or(0) * seconds, pcie.tx * seconds, pcie.rx * seconds, nvlink.tx * seconds,
          nvlink.rx * seconds};
}

Totals operator+(const Totals& a, const Totals& b) {
  return {a.energy + b.energy, a.pcie_tx + b.pcie_tx, a.pcie_rx + b.pcie_rx, a.nvlink_tx + b.nvlink_tx,
          a.nvlink_rx + b.nvlink_rx};
}

// Before a dlopen of this library returns: the time starts here, and a missing symbol is missing from the
// first dlsym on.
__attribute__((constructor)) void load() {
  State& state = State::get();
  const Lock lock(state.mutex());
  if (state.loaded()) hide_symbols(state.scenario().missing);
}

}  // namespace

// Never destroyed: other threads may still be calling while the process exits.
State& State::get() {
  static State* const state = new State;
  return *state;
}

State::State() : start_(std::chrono::steady_clock::now()) {
  if (const char* path = std::getenv("FAKE_NVML_SCENARIO")) path_ = path;
  refresh();
}

double State::now() const {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
}

void State::refresh() {
  struct stat current {};
  if (path_.empty() || ::stat(path_.c_str(), &current) != 0) return;
  if (loaded() && same_file(current, read_)) return;
  std::ifstream file(path_);
  std::stringstream text;
  text << file.rdbuf();
  try {
    auto fresh = std::make_unique<const Scenario>(parse_scenario(text.str()));
    const double time = now();
    if (loaded())
      for (const auto& gpu : scenario_->gpus)
        totals_[gpu.key] = totals_[gpu.key] + growth(gpu, time - since_);
    since_ = time;
    scenario_ = std::move(fresh);
    read_ = current;
  } catch (const std::exception& error) {
    // Later it is most likely half-written, and the next call looks again.
    if (!loaded()) std::fprintf(stderr, "fake_nvml: %s: %s\n", path_.c_str(), error.what());
  }
}

void State::log(const char* symbol, const std::string& detail) const {
  if (!loaded() || scenario_->log.empty()) return;
  const int fd = ::open(scenario_->log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (fd < 0) return;
  const std::string line = std::string(symbol) + (detail.empty() ? "" : " " + detail) + "\n";
  // One write, as several processes may log to the same file.
  if (::write(fd, line.data(), line.size()) < 0) std::perror("fake_nvml: log");
  ::close(fd);
}

// Without the lock, so that calls of other threads go on.
void State::sleep(Lock& lock, std::chrono::duration<double> duration) {
  lock.unlock();
  std::this_thread::sleep_for(duration);
  lock.lock();
  refresh();
}

void State::hang(Lock& lock, const char* symbol, std::optional<std::size_t> gpu) {
  for (const auto& event : scenario_->events) {
    if (event.kind != Event::Kind::hang || event.call != symbol || event.gpu != gpu) continue;
    if (event.at_s > now() || !done_.insert(event.key).second) continue;
    return sleep(lock, std::chrono::duration<double>(event.hang_s));
  }
}

nvmlReturn_t State::enter(Lock& lock, const char* symbol, bool needs_init, const std::string& detail) {
  refresh();
  log(symbol, detail);
  if (!loaded()) return needs_init ? NVML_ERROR_UNINITIALIZED : NVML_ERROR_DRIVER_NOT_LOADED;
  if (scenario_->missing.contains(symbol)) return NVML_ERROR_FUNCTION_NOT_FOUND;
  if (const auto delay = scenario_->delays_ms.find(symbol); delay != scenario_->delays_ms.end())
    sleep(lock, std::chrono::milliseconds(delay->second));
  hang(lock, symbol, std::nullopt);
  if (const auto found = scenario_->errors.find(symbol); found != scenario_->errors.end())
    return found->second;
  return needs_init && !initialized() ? NVML_ERROR_UNINITIALIZED : NVML_SUCCESS;
}

nvmlReturn_t State::resolve(nvmlDevice_t device, View& view) const {
  const auto known = std::find_if(handles_.begin(), handles_.end(),
                                  [&](const auto& entry) { return entry.second.get() == device; });
  if (known == handles_.end()) return NVML_ERROR_INVALID_ARGUMENT;
  for (std::size_t i = 0; i < scenario_->gpus.size(); ++i) {
    const Gpu& gpu = scenario_->gpus[i];
    view = {i, &gpu, nullptr};
    if (!device->mig && gpu.key == device->key) return NVML_SUCCESS;
    if (!device->mig || !gpu.mig) continue;
    for (const auto& mig : *gpu.mig) {
      view.mig = &mig;
      if (mig.uuid == device->key) return NVML_SUCCESS;
    }
  }
  // A GPU that the file no longer has was pulled out; a MIG instance was destroyed, and its handle with it.
  return device->mig ? NVML_ERROR_INVALID_ARGUMENT : NVML_ERROR_GPU_IS_LOST;
}

nvmlReturn_t State::admit(Lock& lock, const char* symbol, const char* property, nvmlDevice_t device,
                          View& view) {
  if (const auto error = resolve(device, view)) return error;
  hang(lock, symbol, view.index);
  // Again, as there may be another scenario after a hang, and the NVML of another thread may be shut down.
  if (!initialized()) return NVML_ERROR_UNINITIALIZED;
  if (const auto error = resolve(device, view)) return error;
  const Status now_is = status(view.index);
  if (now_is.lost || !now_is.visible) return NVML_ERROR_GPU_IS_LOST;
  const Gpu& gpu = *view.gpu;
  if (const auto found = gpu.errors.find(symbol); found != gpu.errors.end()) return found->second;
  if (gpu.not_supported.contains(symbol) || gpu.not_supported.contains(property))
    return NVML_ERROR_NOT_SUPPORTED;
  return NVML_SUCCESS;
}

nvmlDevice_t State::handle(const std::string& key, bool mig) {
  auto& entry = handles_[(mig ? "mig " : "gpu ") + key];
  if (!entry) entry = std::make_unique<nvmlDevice_st>(nvmlDevice_st{key, mig});
  return entry.get();
}

Status State::status(std::size_t gpu) const {
  Status status;
  bool first = true;
  for (const auto& event : scenario_->events) {
    if (event.gpu != gpu) continue;
    const bool due = event.at_s <= now();
    const bool added = event.kind == Event::Kind::added;
    const bool removed = event.kind == Event::Kind::removed;
    // A GPU whose first such event is that it is added was not there before.
    if (first && added && !due) status.visible = false;
    if (added || removed) first = false;
    if (!due) continue;
    if (added || removed) status.visible = added;
    if (event.kind == Event::Kind::lost) status.lost = true;
    if (event.kind == Event::Kind::recovered) status.lost = false;
    if (event.kind == Event::Kind::dbe) status.dbe += event.number;
  }
  return status;
}

Totals State::totals(const Gpu& gpu) const {
  const auto before = totals_.find(gpu.key);
  return (before == totals_.end() ? Totals{} : before->second) + growth(gpu, now() - since_);
}

nvmlReturn_t State::initialize() {
  ++init_count_;
  return NVML_SUCCESS;
}

nvmlReturn_t State::shut_down() {
  if (--init_count_ == 0) sets_.clear();
  return NVML_SUCCESS;
}

nvmlEventSet_t State::create_set() {
  auto set = std::make_unique<nvmlEventSet_st>();
  const nvmlEventSet_t address = set.get();
  sets_[address] = std::move(set);
  return address;
}

bool State::take_event(nvmlEventSet_t set, nvmlEventData_t& data) {
  for (const auto& event : scenario_->events) {
    const bool xid = event.kind == Event::Kind::xid;
    if ((!xid && event.kind != Event::Kind::dbe) || event.at_s > now()) continue;
    const std::uint64_t type = xid ? NVML_EVENT_XID_CRITICAL : NVML_EVENT_DOUBLE_BIT_ECC;
    const std::string& key = scenario_->gpus[*event.gpu].key;
    const auto registered = set->registered.find(key);
    if (registered == set->registered.end() || !(registered->second & type)) continue;
    if (!done_.insert(event.key).second) continue;
    data = {handle(key, false), type, xid ? event.number : 0, ~0U, ~0U};
    return true;
  }
  return false;
}

nvmlReturn_t answer_text(const std::optional<std::string>& value, char* out, unsigned length) {
  if (!value) return NVML_ERROR_NOT_SUPPORTED;
  if (value->size() + 1 > length) return NVML_ERROR_INSUFFICIENT_SIZE;
  std::memcpy(out, value->c_str(), value->size() + 1);
  return NVML_SUCCESS;
}

void fill_pci(const std::string& bus_id, nvmlPciInfo_t& pci) {
  pci = {};
  if (std::sscanf(bus_id.c_str(), "%x:%x:%x", &pci.domain, &pci.bus, &pci.device) != 3)
    pci.domain = pci.bus = pci.device = 0;
  pci.pciDeviceId = 0x233010DE;
  pci.pciSubSystemId = 0x16C110DE;
  std::snprintf(pci.busId, sizeof pci.busId, "%s", bus_id.c_str());
  std::snprintf(pci.busIdLegacy, sizeof pci.busIdLegacy, "%04X:%02X:%02X.0", pci.domain & 0xFFFFU,
                pci.bus & 0xFFU, pci.device & 0xFFU);
}

}  // namespace fake_nvml
