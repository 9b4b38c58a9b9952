// Samples all devices of this machine in the background and hands out the newest snapshot. A driver that
// hangs or a database that is away costs freshness, never an answer.
#pragma once

#include <condition_variable>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

#include "control/monitor/cpu_slots.h"
#include "control/monitor/inventory.h"
#include "control/monitor/lease_reader.h"
#include "control/monitor/recorder.h"

namespace saemill {

struct MonitorOptions {
  double period = 1;                 // seconds, 0.25 to 60
  int cpu_slots = -1;                // -1: one per core where there is surely no GPU, else none
  std::string visible_devices = "";  // CUDA_VISIBLE_DEVICES, where it is to be heeded
  std::filesystem::path data = ".";  // whose disk is watched
  Leases* leases = nullptr;          // null: no store, so nothing is leased
  Recorder* recorder = nullptr;      // null: no history is kept
};

struct MonitorCost {
  int64_t samples = 0;
  double mean_ms = 0, max_ms = 0;  // from the beginning of a sample to its snapshot
  double cpu_percent = 0;          // of one core, since the start: sampler and NVML thread
};

// Thread-safe.
class Monitor {
 public:
  explicit Monitor(MonitorOptions options);  // Error{usage}: a period out of range
  ~Monitor();
  Monitor(const Monitor&) = delete;
  Monitor& operator=(const Monitor&) = delete;

  // Begins sampling. `on_snapshot` is called on the sampling thread after each one; it must not block.
  void start(std::function<void(const std::shared_ptr<const Snapshot>&)> on_snapshot = {});
  void stop();

  std::shared_ptr<const Snapshot> latest() const;  // null: none yet

  // A snapshot whose readings all began after this call, or, where the driver does not answer within
  // `timeout` seconds, one in which its devices keep their age. Works with and without start(), whose samples
  // go on while this one waits. Without events: they are told once, by the samples of start().
  std::shared_ptr<const Snapshot> sample_now(double timeout = 2);

  MonitorCost cost() const;
  nvml::SessionStatus driver() const { return session_.status(); }

 private:
  // Of the driver's newest reading, which was waited for since `begin`. `patience`: seconds for the store.
  std::shared_ptr<const Snapshot> sample(double begin, double patience, bool periodic);
  int slots(const nvml::SessionStatus& gpus, const HostSample& host) const;
  void loop();

  MonitorOptions options_;
  std::string host_;
  bool pids_hidden_;
  nvml::Session session_;

  std::mutex sample_mutex_;  // one sample at a time: the readers remember counters
  HostReader host_reader_;
  std::unique_ptr<CpuSlots> cpu_slots_;
  std::unique_ptr<LeaseReader> leases_;  // null: no store

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  bool stop_ = false;
  std::shared_ptr<const Snapshot> latest_;
  MonitorCost cost_;
  double total_ms_ = 0, started_ = 0, cpu_seconds_ = 0;
  std::function<void(const std::shared_ptr<const Snapshot>&)> on_snapshot_;
  std::thread thread_;
};

}  // namespace saemill
