// system_events: what happened to the machine (a device added or lost, an XID, heat, a low disk, stale data),
// for people and for the page's bell.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "control/store/database.h"

namespace saemill {

enum class Severity { info, warning, error };
const char* to_string(Severity severity);
std::optional<Severity> severity_of(const std::string& word);

struct MachineEvent {
  int64_t id = 0;   // of the store, ascending in order of storing; 0: not stored yet
  double time = 0;  // epoch seconds
  Severity severity = Severity::info;
  std::string code;   // stable: gpu_added, gpu_removed, gpu_state, xid, throttled, hot, low_disk, stale, ...
  bool over = false;  // the condition that `code` names has ended
  std::string host;   // on which machine
  std::string device_uuid;  // empty: not about a device
  std::string training_id;  // empty: not about a training
  std::string message;      // for people
};

struct EventQuery {
  int64_t since = 0;  // ids greater than this
  std::optional<Severity> at_least = {};
  std::string device_uuid = {}, training_id = {};  // only those about it; empty: all
  int64_t page = 1, limit = 50;                    // newest first
};

struct EventPage {
  std::vector<MachineEvent> events;
  int64_t total = 0;  // that match, on all pages
};

// Thread-safe, and safe beside other servers on the same database: who has read up to an id misses none that
// is smaller.
class MachineEvents {
 public:
  explicit MachineEvents(Database& database) : database_(database) {}

  static constexpr int64_t kMostKept = 100000;
  static constexpr int64_t kDaysKept = 90;

  // All in one transaction; sets their ids, unless it throws. Deletes the oldest beyond kMostKept, and those
  // that happened more than kDaysKept before the newest of `events`. Bytes that are no text (UTF-8, no zero)
  // are stored as '?'.
  void add(std::vector<MachineEvent>& events);
  // Error{usage}: page < 1, or a limit outside 1 to 500.
  EventPage query(const EventQuery& query) const;

 private:
  Database& database_;
};

}  // namespace saemill
