// Leases: the exclusive reservation of devices by jobs. A lease is active until it is released; a unique
// index over the uuids of active leases makes a second holder impossible, whatever the program does. Rows of
// released leases stay as the record of who had what, when.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "control/store/database.h"

namespace saemill {

struct LeaseHolder {
  std::string job_id;
  std::string job_type = "training";
  std::string server_id;
  std::string host;
  std::string boot_id;     // /proc/sys/kernel/random/boot_id of that host
  int64_t pid = 0;         // of the launcher; 0: not started yet, the server stands for it
  int64_t start_time = 0;  // field 22 of /proc/PID/stat: with the pid, its identity
  int64_t server_pid = 0;
  int64_t server_start_time = 0;
};

struct Lease {
  int64_t id = 0;
  std::string uuid;
  LeaseHolder holder;
  int64_t taken_at = 0;  // epoch seconds
};

// Thread-safe, and safe beside any number of other servers on the same database.
class Leases {
 public:
  explicit Leases(Database& database) : database_(database) {}

  // All of `uuids` for `holder`, or none. Empty: taken. Otherwise the active leases that stand in the way.
  // The transaction touches nothing but this table. Error{usage}: a uuid named twice, or none.
  std::vector<Lease> take(const std::vector<std::string>& uuids, const LeaseHolder& holder);

  // Writes the launcher's process into the active leases of the job. False: it has none.
  bool bind(const std::string& job_id, int64_t pid, int64_t start_time);

  // Ends the job's active leases; returns how many. The caller has proven that its processes ended.
  int64_t release(const std::string& job_id);

  std::vector<Lease> active() const;  // by uuid
  // Of ended and active leases, the latest end (or now) for each uuid: what "least recently used" means.
  std::vector<std::pair<std::string, int64_t>> last_used() const;

  // Ends the leases of `host` whose holder is gone: another boot id, or `alive(pid, start_time)` is false for
  // the launcher (for the server where no launcher was bound yet). Leases of other hosts are never touched.
  // Returns what it ended.
  std::vector<Lease> release_dead(const std::string& host, const std::string& boot_id,
                                  const std::function<bool(int64_t pid, int64_t start_time)>& alive);

 private:
  Database& database_;
};

}  // namespace saemill
