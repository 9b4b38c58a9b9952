#include "control/monitor/monitor.h"

#include <time.h>

#include <algorithm>

#include "common/base/clock.h"
#include "common/base/error.h"
#include "common/base/proc.h"

namespace saemill {
namespace {

double thread_cpu_seconds() {
  timespec time{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

}  // namespace

Monitor::Monitor(MonitorOptions options)
    : options_(std::move(options)),
      host_(host_name()),
      pids_hidden_(in_pid_namespace()),
      host_reader_(options_.data) {
  if (!(options_.period >= 0.25 && options_.period <= 60))
    fail(ErrorCode::usage, "the sampling period is {} s; accepted: 0.25 to 60", options_.period);
  started_ = monotonic_seconds();
}

Monitor::~Monitor() {
  stop();
}

void Monitor::start(std::function<void(const std::shared_ptr<const Snapshot>&)> on_snapshot) {
  ensure(!thread_.joinable(), "a monitor is started once");
  on_snapshot_ = std::move(on_snapshot);
  stop_ = false;
  thread_ = std::thread([this] { loop(); });
}

void Monitor::stop() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void Monitor::loop() {
  double next = monotonic_seconds();
  while (true) {
    // A driver that hangs is waited for once, then only asked.
    const bool hangs = session_.status().state == nvml::SessionStatus::State::hanging;
    const auto snapshot = sample(hangs ? 0 : std::min(0.5, options_.period));
    if (on_snapshot_) on_snapshot_(snapshot);
    next = std::max(next + options_.period, monotonic_seconds());
    std::unique_lock lock(mutex_);
    cpu_seconds_ = thread_cpu_seconds();
    wake_.wait_for(lock, std::chrono::duration<double>(next - monotonic_seconds()), [this] { return stop_; });
    if (stop_) return;
  }
}

void Monitor::read_leases(InventoryInput& input, Snapshot& snapshot) {
  if (options_.leases == nullptr) return;
  try {
    last_leases_.leases = options_.leases->active();
    last_used_.clear();
    for (const auto& [uuid, time] : options_.leases->last_used()) last_used_[uuid] = time;
  } catch (const std::exception& error) {
    snapshot.store_problem = error.what();  // what was known stays: a lease does not end because we are blind
  }
  input.leases = last_leases_.leases;
  snapshot.last_used = last_used_;
}

std::shared_ptr<const Snapshot> Monitor::sample(double driver_timeout) {
  const std::lock_guard one(sample_mutex_);
  const double begin = monotonic_seconds();
  auto snapshot = std::make_shared<Snapshot>();
  InventoryInput input;
  input.gpus = session_.read_now(driver_timeout);
  input.now = monotonic_seconds();
  input.epoch = epoch_seconds();
  input.host = host_;
  input.pids_hidden = pids_hidden_;
  input.stale_after = 3 * options_.period;
  snapshot->host = host_reader_.read(input.now, input.epoch);
  const bool gpus = input.gpus.reading && !input.gpus.reading->devices.empty();
  if (!cpu_slots_ && (options_.cpu_slots >= 0 || input.gpus.state != nvml::SessionStatus::State::starting)) {
    const int slots = options_.cpu_slots >= 0 ? options_.cpu_slots : gpus ? 0 : snapshot->host.cores;
    cpu_slots_ = std::make_unique<CpuSlots>(slots);
  }
  if (cpu_slots_) input.cpu_slots = cpu_slots_->read(snapshot->host, input.now, input.epoch);
  read_leases(input, *snapshot);
  snapshot->devices = build_inventory(input);
  using State = nvml::SessionStatus::State;
  snapshot->driver = {.state = nvml::to_string(input.gpus.state),
                      .message = input.gpus.state == State::answering ? "" : input.gpus.message,
                      .driver_version = "",
                      .library_version = "",
                      .library = input.gpus.library};
  if (const auto& reading = input.gpus.reading) {
    snapshot->topology = reading->topology;
    snapshot->driver.driver_version = reading->driver_version;
    snapshot->driver.library_version = reading->library_version;
    if (reading != events_seen_) snapshot->events = reading->events;
    events_seen_ = reading;
  }
  snapshot->taken = gpus ? std::min(begin, input.gpus.read_at) : begin;
  snapshot->epoch = input.epoch;
  if (options_.recorder != nullptr) options_.recorder->add(snapshot->devices, input.epoch);
  const double ms = 1e3 * (monotonic_seconds() - begin);
  const std::lock_guard lock(mutex_);
  latest_ = snapshot;
  ++cost_.samples;
  total_ms_ += ms;
  cost_.max_ms = std::max(cost_.max_ms, ms);
  return snapshot;
}

std::shared_ptr<const Snapshot> Monitor::latest() const {
  const std::lock_guard lock(mutex_);
  return latest_;
}

std::shared_ptr<const Snapshot> Monitor::sample_now(double timeout) {
  return sample(timeout);
}

MonitorCost Monitor::cost() const {
  const double nvml_seconds = session_.status().cpu_seconds;
  const std::lock_guard lock(mutex_);
  MonitorCost cost = cost_;
  if (cost.samples > 0) cost.mean_ms = total_ms_ / static_cast<double>(cost.samples);
  const double elapsed = monotonic_seconds() - started_;
  if (elapsed > 0) cost.cpu_percent = 100 * (cpu_seconds_ + nvml_seconds) / elapsed;
  return cost;
}

}  // namespace saemill
