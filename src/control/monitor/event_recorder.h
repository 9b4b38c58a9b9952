// Stores machine events on a thread of its own, and hands each to a listener once: with its id as soon as it
// is stored, or without one where the store is away (it is stored later, and not told again).
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "control/store/machine_events.h"

namespace saemill {

// Thread-safe.
class EventRecorder {
 public:
  // `on_event` is called on the recorder's thread, in the order of add(). It must not throw; it may call
  // add() and status(). May be empty.
  EventRecorder(MachineEvents& store, std::function<void(const MachineEvent&)> on_event);
  ~EventRecorder();  // stores what waits, once
  EventRecorder(const EventRecorder&) = delete;
  EventRecorder& operator=(const EventRecorder&) = delete;

  void add(std::vector<MachineEvent> events);

  struct Status {
    int64_t waiting = 0;  // not yet stored
    int64_t dropped = 0;  // the oldest, beyond kMostWaiting; they are not told either, unless they were
    std::string error;    // of the last attempt; empty: it worked
  };
  Status status() const;
  static constexpr size_t kMostWaiting = 10000;

 private:
  struct Waiting {
    MachineEvent event;
    bool told = false;
  };
  void loop();
  void store();
  bool store_batch();
  void tell_unstored();
  void tell(const MachineEvent& event) const;
  void drop_oldest();

  MachineEvents& store_;
  std::function<void(const MachineEvent&)> on_event_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Waiting> waiting_;
  size_t under_way_ = 0;  // taken out of waiting_ to be stored
  size_t untold_ = 0;     // of waiting_: the last so many
  Status status_;
  bool stop_ = false;
  double retry_at_ = 0;
  std::thread thread_;
};

}  // namespace saemill
