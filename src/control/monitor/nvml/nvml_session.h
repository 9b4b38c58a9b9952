// The one NVML session of the process, on a thread of its own. A driver that hangs costs that thread and
// nothing else: everybody reads the newest reading with its age, and is told which call hangs.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "control/monitor/nvml/nvml_reader.h"

namespace saemill::nvml {

struct SessionStatus {
  enum class State {
    starting,  // no reading yet
    absent,    // no library; or one without a driver, where the machine has no NVIDIA GPU either
    failing,   // the library is there, the driver refuses
    answering,
    hanging,  // a call has not come back for kHangSeconds
  };
  State state = State::starting;
  std::string message;                     // for people, unless answering
  std::shared_ptr<const Reading> reading;  // the newest; null: none yet
  double read_at = 0;                      // monotonic time at which that reading began
  double cpu_seconds = 0;                  // of the thread so far
  std::vector<CallCost> costs;             // of the library's calls so far
  std::vector<std::string> missing;        // symbols that this driver's library lacks
  std::string library;                     // its path
};

const char* to_string(SessionStatus::State state);

inline constexpr double kHangSeconds = 2;

// Thread-safe.
class Session {
 public:
  Session();
  // Ends the thread if it answers within half a second; a thread that hangs in the driver is left behind, and
  // no second one is started in this process until it has come back.
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  void request();  // a reading, soon; requests while one is under way are one request
  SessionStatus status() const;
  // Requests, and waits for a reading that began after this call, at most `timeout` seconds.
  SessionStatus read_now(double timeout);
  // What happened in all readings since this was last called; of a storm, the newest.
  std::vector<GpuEvent> take_events();

 private:
  struct Shared;
  static void loop(const std::shared_ptr<Shared>& shared);
  static void read_once(Shared& shared, std::unique_ptr<Reader>& reader);
  bool start();

  std::shared_ptr<Shared> shared_;
};

}  // namespace saemill::nvml
