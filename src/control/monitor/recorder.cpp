#include "control/monitor/recorder.h"

#include <algorithm>
#include <chrono>
#include <exception>

#include "common/base/clock.h"
#include "common/base/log.h"

namespace saemill {
namespace {

constexpr double kRetrySeconds = 2;
constexpr double kThinSeconds = 60;
constexpr size_t kBatch = 2000;  // samples in one transaction

}  // namespace

std::vector<HistorySample> history_samples(const std::vector<Device>& devices, double epoch) {
  std::vector<HistorySample> samples;
  for (const Device& device : devices) {
    HistorySample sample{.uuid = device.uuid,
                         .time_ms = static_cast<int64_t>(epoch * 1e3),
                         .job_id = device.current_job,
                         .values = {}};
    bool any = false;
    for (size_t field = 0; field < sample.values.size(); ++field) {
      sample.values[field] = history_value(device, field);
      any = any || sample.values[field].has_value();
    }
    if (any) samples.push_back(std::move(sample));
  }
  return samples;
}

Recorder::Recorder(DeviceHistory& history) : history_(history), thread_([this] { loop(); }) {}

Recorder::~Recorder() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

void Recorder::add(const std::vector<Device>& devices, double epoch) {
  auto samples = history_samples(devices, epoch);
  const std::lock_guard lock(mutex_);
  waiting_.insert(waiting_.end(), samples.begin(), samples.end());
  while (waiting_.size() > kMostWaiting) {
    waiting_.pop_front();
    ++status_.dropped;
  }
  wake_.notify_all();
}

Recorder::Status Recorder::status() const {
  const std::lock_guard lock(mutex_);
  Status status = status_;
  status.waiting = static_cast<int64_t>(waiting_.size());
  return status;
}

void Recorder::loop() {
  std::unique_lock lock(mutex_);
  while (!stop_) {
    wake_.wait_for(lock, std::chrono::milliseconds(500), [this] { return stop_ || !waiting_.empty(); });
    const bool may_write = monotonic_seconds() >= retry_at_;
    lock.unlock();
    if (may_write) write();
    if (monotonic_seconds() >= thin_at_) thin();
    lock.lock();
    // While the database is away, new samples must not make this a busy loop.
    if (!status_.error.empty())
      wake_.wait_for(lock, std::chrono::milliseconds(200), [this] { return stop_; });
  }
  lock.unlock();
  write();
}

void Recorder::write() {
  while (true) {
    std::deque<HistorySample> batch;
    {
      const std::lock_guard lock(mutex_);
      const auto end = waiting_.begin() + static_cast<std::ptrdiff_t>(std::min(waiting_.size(), kBatch));
      batch.assign(waiting_.begin(), end);
      waiting_.erase(waiting_.begin(), end);
    }
    if (batch.empty()) return;
    std::string error;
    try {
      history_.add({batch.begin(), batch.end()});
    } catch (const std::exception& failure) {
      error = failure.what();
    }
    const std::lock_guard lock(mutex_);
    if (status_.error.empty() && !error.empty())
      log_line(LogLevel::warning, "the history of the devices waits for the store: " + error);
    if (!status_.error.empty() && error.empty())
      log_line(LogLevel::info, "the history of the devices is stored again");
    status_.error = error;
    if (error.empty()) continue;
    waiting_.insert(waiting_.begin(), batch.begin(), batch.end());
    retry_at_ = monotonic_seconds() + kRetrySeconds;
    return;
  }
}

void Recorder::thin() {
  thin_at_ = monotonic_seconds() + kThinSeconds;
  try {
    history_.thin(static_cast<int64_t>(epoch_seconds()));
  } catch (const std::exception& failure) {
    const std::lock_guard lock(mutex_);
    status_.error = failure.what();
  }
}

}  // namespace saemill
