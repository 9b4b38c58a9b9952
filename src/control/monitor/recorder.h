// Writes what is sampled into the store, on a thread of its own, so that a slow or absent database delays no
// sample; and thins the history once a minute.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "control/monitor/device.h"
#include "control/store/device_history.h"

namespace saemill {

// One device's values at one time, for the store.
std::vector<HistorySample> history_samples(const std::vector<Device>& devices, double epoch);

// Thread-safe.
class Recorder {
 public:
  explicit Recorder(DeviceHistory& history);
  ~Recorder();  // writes what waits, once
  Recorder(const Recorder&) = delete;
  Recorder& operator=(const Recorder&) = delete;

  void add(const std::vector<Device>& devices, double epoch);

  struct Status {
    int64_t waiting = 0;  // samples not yet written: the database does not answer
    int64_t dropped = 0;  // the oldest, beyond kMostWaiting
    std::string error;    // of the last attempt; empty: it worked
  };
  Status status() const;
  static constexpr size_t kMostWaiting = 200000;  // an hour of 50 devices

 private:
  void loop();
  void write();
  void thin();

  DeviceHistory& history_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<HistorySample> waiting_;
  Status status_;
  bool stop_ = false;
  double retry_at_ = 0, thin_at_ = 0;
  std::thread thread_;
};

}  // namespace saemill
