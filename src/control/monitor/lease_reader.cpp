#include "control/monitor/lease_reader.h"

#include <fmt/format.h>

#include <chrono>

#include "common/base/clock.h"

namespace saemill {
namespace {

constexpr double kHangSeconds = 2;

}  // namespace

LeaseReader::LeaseReader(Leases& leases) : leases_(leases), thread_([this] { loop(); }) {}

LeaseReader::~LeaseReader() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  asked_.notify_all();
  thread_.join();
}

LeaseReader::Reading LeaseReader::read_now(double timeout) {
  std::unique_lock lock(mutex_);
  const bool under_way = begun_ > done_;
  if (under_way && monotonic_seconds() - begun_at_ > kHangSeconds) timeout = 0;
  const uint64_t number = begun_ + 1;
  wanted_ = std::max(wanted_, number);
  asked_.notify_all();
  const bool fresh =
      answered_.wait_for(lock, std::chrono::duration<double>(timeout), [&] { return done_ >= number; });
  Reading reading = reading_;
  if (!fresh)
    reading.problem = fmt::format("the store has not answered for {:.1f} s", monotonic_seconds() - begun_at_);
  return reading;
}

void LeaseReader::loop() {
  std::unique_lock lock(mutex_);
  while (true) {
    asked_.wait(lock, [this] { return stop_ || wanted_ > begun_; });
    if (stop_) return;
    const uint64_t number = ++begun_;
    begun_at_ = monotonic_seconds();
    lock.unlock();
    Reading next;
    try {
      next.leases = leases_.active();
      for (const auto& [uuid, time] : leases_.last_used()) next.last_used[uuid] = time;
    } catch (const std::exception& error) {
      next.problem = error.what();
    }
    lock.lock();
    if (next.problem.empty()) {
      reading_ = std::move(next);
    } else {
      reading_.problem = next.problem;
    }
    done_ = number;
    answered_.notify_all();
  }
}

}  // namespace saemill
