#include "control/monitor/monitor.h"

#include <time.h>

#include <algorithm>

#include "common/base/clock.h"
#include "common/base/error.h"
#include "common/base/proc.h"
#include "control/monitor/visible_devices.h"

namespace saemill {
namespace {

constexpr double kStaleSeconds = 3;   // at the least: a slow driver takes one for a reading of many GPUs
constexpr double kStorePatience = 2;  // of whoever waits for a sample

DriverState driver_state(const nvml::SessionStatus& status) {
  using State = nvml::SessionStatus::State;
  DriverState driver{.state = nvml::to_string(status.state),
                     .message = status.state == State::answering ? "" : status.message,
                     .driver_version = "",
                     .library_version = "",
                     .library = status.library,
                     .told = false,
                     .read_at = status.read_at};
  if (const auto& reading = status.reading) {
    driver.driver_version = reading->driver_version;
    driver.library_version = reading->library_version;
    driver.told = reading->result == nvml::kSuccess;
  }
  return driver;
}

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
  if (options_.leases != nullptr) leases_ = std::make_unique<LeaseReader>(*options_.leases);
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
    const double begin = monotonic_seconds(), patience = std::min(0.5, options_.period);
    // A driver that hangs is waited for once, then only asked.
    const bool hangs = session_.status().state == nvml::SessionStatus::State::hanging;
    session_.read_now(hangs ? 0 : patience);
    const auto snapshot = sample(begin, patience, /*periodic=*/true);
    if (on_snapshot_) on_snapshot_(snapshot);
    next = std::max(next + options_.period, monotonic_seconds());
    std::unique_lock lock(mutex_);
    cpu_seconds_ = thread_cpu_seconds();
    wake_.wait_for(lock, std::chrono::duration<double>(next - monotonic_seconds()), [this] { return stop_; });
    if (stop_) return;
  }
}

int Monitor::slots(const nvml::SessionStatus& gpus, const HostSample& host) const {
  if (options_.cpu_slots >= 0) return options_.cpu_slots;
  if (!gpus.reading) return host.cores;
  const auto usable = visible_devices(gpus.reading->devices, options_.visible_devices);
  return std::find(usable.begin(), usable.end(), true) != usable.end() ? 0 : host.cores;
}

std::shared_ptr<const Snapshot> Monitor::sample(double begin, double patience, bool periodic) {
  const std::lock_guard one(sample_mutex_);
  auto snapshot = std::make_shared<Snapshot>();
  InventoryInput input;
  input.gpus = session_.status();  // under the lock, so that no snapshot is older than the one before
  input.now = monotonic_seconds();
  input.epoch = epoch_seconds();
  input.host = host_;
  input.pids_hidden = pids_hidden_;
  input.stale_after = std::max(kStaleSeconds, 3 * options_.period);
  input.visible = options_.visible_devices;
  snapshot->host = host_reader_.read(input.now, input.epoch);
  snapshot->driver = driver_state(input.gpus);
  if (!cpu_slots_ && (options_.cpu_slots >= 0 || !gpus_unknown(snapshot->driver)))
    cpu_slots_ = std::make_unique<CpuSlots>(slots(input.gpus, snapshot->host));
  if (cpu_slots_) input.cpu_slots = cpu_slots_->read(snapshot->host, input.now, input.epoch);
  if (leases_) {
    auto known = leases_->read_now(patience);
    input.leases = std::move(known.leases);
    snapshot->last_used = std::move(known.last_used);
    snapshot->store_problem = std::move(known.problem);
  }
  snapshot->devices = build_inventory(input);
  if (input.gpus.reading) snapshot->topology = input.gpus.reading->topology;
  if (periodic) snapshot->events = session_.take_events();
  const bool gpus = input.gpus.reading && !input.gpus.reading->devices.empty();
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
  const double begin = monotonic_seconds();
  session_.read_now(timeout);
  return sample(begin, kStorePatience, /*periodic=*/false);
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
