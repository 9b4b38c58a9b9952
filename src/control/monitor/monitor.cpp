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
    const auto snapshot = sample(std::min(0.5, options_.period), /*periodic=*/true);
    if (on_snapshot_) on_snapshot_(snapshot);
    next = std::max(next + options_.period, monotonic_seconds());
    std::unique_lock lock(mutex_);
    cpu_seconds_ = thread_cpu_seconds();
    wake_.wait_for(lock, std::chrono::duration<double>(next - monotonic_seconds()), [this] { return stop_; });
    if (stop_) return;
  }
}

std::shared_ptr<const Snapshot> Monitor::sample(double patience, bool periodic) {
  const std::lock_guard one(sample_mutex_);
  const double begin = monotonic_seconds();
  auto snapshot = std::make_shared<Snapshot>();
  InventoryInput input;
  // A driver that hangs is waited for once, then only asked.
  const bool hangs = periodic && session_.status().state == nvml::SessionStatus::State::hanging;
  input.gpus = session_.read_now(hangs ? 0 : patience);
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
  if (leases_) {
    auto known = leases_->read_now(patience);
    input.leases = std::move(known.leases);
    snapshot->last_used = std::move(known.last_used);
    snapshot->store_problem = std::move(known.problem);
  }
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
  return sample(timeout, /*periodic=*/false);
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
