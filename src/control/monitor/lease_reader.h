// Reads the leases on a thread of its own: a database that hangs costs their freshness, never a sample of the
// devices.
#pragma once

#include <condition_variable>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "control/store/leases.h"

namespace saemill {

// Thread-safe.
class LeaseReader {
 public:
  explicit LeaseReader(Leases& leases);
  ~LeaseReader();  // waits for a reading that is under way
  LeaseReader(const LeaseReader&) = delete;
  LeaseReader& operator=(const LeaseReader&) = delete;

  struct Reading {
    std::vector<Lease> leases;                 // active
    std::map<std::string, int64_t> last_used;  // uuid -> epoch seconds
    std::string problem;  // empty: read after the call. Else why not, and the rest is what was known before:
                          // a lease does not end because we are blind
  };
  // A reading that began after this call, or after `timeout` seconds what is known. A store that hangs is
  // waited for once; then it is only asked.
  Reading read_now(double timeout);

 private:
  void loop();

  Leases& leases_;
  std::mutex mutex_;
  std::condition_variable asked_, answered_;
  Reading reading_;
  uint64_t wanted_ = 0, begun_ = 0, done_ = 0;  // numbers of readings
  double begun_at_ = 0;                         // monotonic
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace saemill
