#include "control/monitor/event_recorder.h"

#include <algorithm>
#include <chrono>
#include <exception>
#include <iterator>

#include "common/base/clock.h"

namespace saemill {
namespace {

constexpr double kRetrySeconds = 2;
constexpr size_t kBatch = 500;  // events in one transaction

}  // namespace

EventRecorder::EventRecorder(MachineEvents& store, std::function<void(const MachineEvent&)> on_event)
    : store_(store), on_event_(std::move(on_event)), thread_([this] { loop(); }) {}

EventRecorder::~EventRecorder() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

void EventRecorder::add(std::vector<MachineEvent> events) {
  const std::lock_guard lock(mutex_);
  for (MachineEvent& event : events) waiting_.push_back({std::move(event), false});
  untold_ += events.size();
  drop_oldest();
  wake_.notify_all();
}

EventRecorder::Status EventRecorder::status() const {
  const std::lock_guard lock(mutex_);
  Status status = status_;
  status.waiting = static_cast<int64_t>(waiting_.size() + under_way_);
  return status;
}

// Those under way are the oldest, but nobody knows yet whether they are stored.
void EventRecorder::drop_oldest() {
  while (waiting_.size() > kMostWaiting) {
    waiting_.pop_front();
    ++status_.dropped;
  }
  untold_ = std::min(untold_, waiting_.size());
}

void EventRecorder::loop() {
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      const std::chrono::duration<double> pause(retry_at_ - monotonic_seconds());
      if (status_.error.empty()) {
        wake_.wait(lock, [this] { return stop_ || !waiting_.empty(); });
      } else {
        wake_.wait_for(lock, pause, [this] { return stop_ || untold_ > 0; });
      }
      if (stop_) break;
    }
    if (monotonic_seconds() >= retry_at_) store();
    tell_unstored();
  }
  store();
  tell_unstored();
}

void EventRecorder::store() {
  while (store_batch()) {
  }
}

// False: nothing waits, or the store is away.
bool EventRecorder::store_batch() {
  std::vector<Waiting> batch;
  std::vector<MachineEvent> events;
  {
    const std::lock_guard lock(mutex_);
    const auto end = waiting_.begin() + static_cast<std::ptrdiff_t>(std::min(waiting_.size(), kBatch));
    batch.assign(std::make_move_iterator(waiting_.begin()), std::make_move_iterator(end));
    waiting_.erase(waiting_.begin(), end);
    under_way_ = batch.size();
    untold_ = std::min(untold_, waiting_.size());
  }
  if (batch.empty()) return false;
  for (const Waiting& entry : batch) events.push_back(entry.event);
  std::string error;
  try {
    store_.add(events);
  } catch (const std::exception& failure) {
    error = failure.what();
  }
  if (error.empty()) {
    for (size_t i = 0; i < batch.size(); ++i) {
      if (!batch[i].told) tell(events[i]);
    }
  }
  const std::lock_guard lock(mutex_);
  under_way_ = 0;
  status_.error = error;
  if (error.empty()) return true;
  untold_ += static_cast<size_t>(
      std::count_if(batch.begin(), batch.end(), [](const Waiting& entry) { return !entry.told; }));
  waiting_.insert(waiting_.begin(), std::make_move_iterator(batch.begin()),
                  std::make_move_iterator(batch.end()));
  drop_oldest();
  retry_at_ = monotonic_seconds() + kRetrySeconds;
  return false;
}

void EventRecorder::tell_unstored() {
  std::vector<MachineEvent> events;
  {
    const std::lock_guard lock(mutex_);
    if (status_.error.empty()) return;  // they are about to be stored
    for (auto entry = waiting_.end() - static_cast<std::ptrdiff_t>(untold_); entry != waiting_.end();
         ++entry) {
      entry->told = true;
      events.push_back(entry->event);
    }
    untold_ = 0;
  }
  for (const MachineEvent& event : events) tell(event);
}

void EventRecorder::tell(const MachineEvent& event) const {
  if (on_event_) on_event_(event);
}

}  // namespace saemill
