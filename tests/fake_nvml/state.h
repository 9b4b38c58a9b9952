// What the calls share: the scenario as it is now, the time since the load, handles, counters and event sets.
#pragma once

#include <sys/stat.h>

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>

#include "fake_nvml_abi.h"
#include "scenario.h"

// A handle outlives the scenario in which it was given out, so it holds a name and not an address.
struct nvmlDevice_st {
  std::string key;
  bool mig = false;
};

struct nvmlEventSet_st {
  std::map<std::string, std::uint64_t> registered;  // event types by Gpu::key
};

namespace fake_nvml {

// What has grown with time since the load: joules and bytes.
struct Totals {
  double energy = 0;
  double pcie_tx = 0, pcie_rx = 0;
  double nvlink_tx = 0, nvlink_rx = 0;
};

struct Status {
  bool visible = true;
  bool lost = false;
  std::uint64_t dbe = 0;
};

// What a handle stands for. Valid as long as the lock is held.
struct View {
  std::size_t index = 0;  // in the scenario's list
  const Gpu* gpu = nullptr;
  const Mig* mig = nullptr;
};

using Lock = std::unique_lock<std::mutex>;

// Every member function wants the lock on mutex() to be held.
class State {
 public:
  static State& get();

  std::mutex& mutex() { return mutex_; }

  // What comes before a call looks at its arguments: re-read, log, hang, global errors. `detail` is for the
  // log.
  nvmlReturn_t enter(Lock& lock, const char* symbol, bool needs_init = true, const std::string& detail = "");
  // What comes before a call for this GPU is answered: hang, lost, its errors, not supported.
  nvmlReturn_t admit(Lock& lock, const char* symbol, const char* property, nvmlDevice_t handle, View& view);

  void refresh();
  nvmlReturn_t resolve(nvmlDevice_t handle, View& view) const;
  nvmlDevice_t handle(const std::string& key, bool mig);

  double now() const;
  const Scenario& scenario() const { return *scenario_; }
  bool loaded() const { return scenario_ != nullptr; }
  Status status(std::size_t gpu) const;
  Totals totals(const Gpu& gpu) const;

  bool initialized() const { return init_count_ > 0; }
  nvmlReturn_t initialize();
  nvmlReturn_t shut_down();

  nvmlEventSet_t create_set();
  bool has_set(nvmlEventSet_t set) const { return sets_.contains(set); }
  void free_set(nvmlEventSet_t set) { sets_.erase(set); }
  // The next event that is due for the set; each is given out once.
  bool take_event(nvmlEventSet_t set, nvmlEventData_t& data);

 private:
  State();
  void sleep(Lock& lock, std::chrono::duration<double> duration);
  void hang(Lock& lock, const char* symbol, std::optional<std::size_t> gpu);
  void log(const char* symbol, const std::string& detail) const;

  std::mutex mutex_;
  const std::chrono::steady_clock::time_point start_;
  std::string path_;
  struct stat read_ {};
  std::unique_ptr<const Scenario> scenario_;
  double since_ = 0;                      // when totals_ was last brought up to date
  std::map<std::string, Totals> totals_;  // by Gpu::key
  std::set<std::string> done_;            // Event::key of hangs and events that were given out
  std::map<std::string, std::unique_ptr<nvmlDevice_st>> handles_;
  std::map<nvmlEventSet_t, std::unique_ptr<nvmlEventSet_st>> sets_;
  int init_count_ = 0;
};

// The frame of most calls: `body(State&, const View&)` answers for a handle that may be asked. Calls that a
// MIG instance does not answer leave `mig_answers` false.
template <class Body>
nvmlReturn_t ask(const char* symbol, const char* property, nvmlDevice_t device, bool arguments, Body body,
                 bool mig_answers = false) {
  State& state = State::get();
  Lock lock(state.mutex());
  View view;
  if (const auto error = state.enter(lock, symbol)) return error;
  if (!device || !arguments) return NVML_ERROR_INVALID_ARGUMENT;
  if (const auto error = state.admit(lock, symbol, property, device, view)) return error;
  if (view.mig && !mig_answers) return NVML_ERROR_NOT_SUPPORTED;
  return body(state, view);
}

template <class T, class Out>
nvmlReturn_t answer(const std::optional<T>& value, Out* out, double scale = 1) {
  if (!value) return NVML_ERROR_NOT_SUPPORTED;
  *out = static_cast<Out>(static_cast<double>(*value) * scale);
  return NVML_SUCCESS;
}

nvmlReturn_t answer_text(const std::optional<std::string>& value, char* out, unsigned length);

// Where the bus id is not of NVML's form, the numbers stay zero.
void fill_pci(const std::string& bus_id, nvmlPciInfo_t& pci);

}  // namespace fake_nvml
