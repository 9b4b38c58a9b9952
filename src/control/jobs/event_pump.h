// Reads the events of running trainings as they are written, and tells them: from the worker's line to the
// listener in milliseconds.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "control/jobs/training_board.h"
#include "control/launch/fd.h"

namespace saemill {

// Thread-safe.
class EventPump {
 public:
  // `on_started` is called on the pump's thread, or on that of drain(), for every `started` event.
  EventPump(Database& database, TrainingBoard& board, std::function<void(const std::string&)> on_started);
  ~EventPump();
  EventPump(const EventPump&) = delete;
  EventPump& operator=(const EventPump&) = delete;

  // The file must exist. Nothing, where it is followed already.
  void follow(const std::string& training, const std::filesystem::path& events);
  // Applies and tells what is there now, on this thread. Error{retry}: not all of it. A file that cannot be
  // read at all was warned of, and is left alone.
  void drain(const std::string& training);
  void leave(const std::string& training);

  // When the training reaches its last step, which is `total_steps`, at the speed of this attempt so far;
  // epoch seconds. Absent: not known yet.
  std::optional<double> predicted_end(const std::string& training, int64_t total_steps) const;

 private:
  struct Run;
  void loop();
  void mark_changed();
  void read_due(Run& run);
  bool read_once(Run& run);  // true: there may be more
  void tell_started(const Run& run);
  std::vector<std::shared_ptr<Run>> runs_due(bool all) const;

  Database& database_;
  TrainingBoard& board_;
  std::function<void(const std::string&)> on_started_;
  Fd changes_;  // inotify; empty: there are none to be had, and files are looked at often
  Fd wake_;
  mutable std::mutex mutex_;
  std::map<std::string, std::shared_ptr<Run>> runs_;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace saemill
