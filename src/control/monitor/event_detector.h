// What happened to the machine between two snapshots: a pure function of them and of what was on before.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "control/monitor/event_conditions.h"
#include "control/monitor/inventory.h"
#include "control/store/machine_events.h"

namespace saemill {

struct EventThresholds {
  double hot = 85, hot_off = 80;            // degrees Celsius; on at the first, over below the second
  double critical = 92, critical_off = 88;  // severity error
  double throttled_for = 10;                // seconds of thermal or power-brake throttling without a break
  double throttled_off = 30;                // seconds without it
  double low_disk = 0.05, low_disk_off = 0.08;            // free share of DATA's disk
  double disk_critical = 0.01, disk_critical_off = 0.02;  // severity error
  double stale_after =
      5;  // seconds: readings of GPUs that are older are stale; that the store does not answer
};

// A change of a device's availability is for the live channel, and stored only where it matters to people: to
// or from unhealthy, lost, unknown. (free <-> leased <-> foreign happens all day.)
struct DeviceChange {
  enum class Kind { added, removed, state, xid } kind = Kind::state;
  std::string uuid;
  // added, state: the device; removed: {uuid, index}; xid: {uuid, index, xid, application}, without an index
  // where the snapshot does not show the device
  nlohmann::ordered_json data;
};

struct Happened {
  std::vector<DeviceChange> changes;  // for the channel system/gpus, in order
  std::vector<MachineEvent> events;   // to be stored and streamed, in order
};

// Not thread-safe. The first snapshot tells what is there (GPUs: the first in which the driver was heard) and
// gives only conditions that are already on (hot, low disk, ...).
class EventDetector {
 public:
  explicit EventDetector(std::string host, EventThresholds thresholds = {});
  Happened next(const Snapshot& snapshot);

 private:
  struct Seen {  // a device in the snapshot before
    std::string uuid, label;
    int index = 0;
    bool slot = false;
    std::optional<Availability> availability;  // absent: it is new
    LevelCondition hot;
    LastingCondition throttled;
  };
  struct Round;  // one call of next()

  Seen* find(const std::string& uuid);
  void compare_presence(Round& round, bool slots);
  void look_at_device(Round& round, const Device& device);
  void compare_state(Round& round, const Device& device, Seen& seen);
  void look_at_heat(Round& round, const Device& device, Seen& seen);
  void tell_xids(Round& round);
  void look_at_machine(Round& round);
  void look_at_disk(Round& round);

  std::string host_;
  EventThresholds thresholds_;
  std::vector<Seen> seen_;
  bool gpus_known_ = false, slots_known_ = false;
  LastingCondition stale_, store_away_;
  LevelCondition low_disk_;
};

}  // namespace saemill
