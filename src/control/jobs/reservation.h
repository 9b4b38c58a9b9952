// The head's claim: how early it finds its devices, for every way that unknown ends can turn out.
#pragma once

#include <vector>

#include "control/jobs/schedule_machine.h"

namespace saemill {

class Reservation {
 public:
  Reservation(const Machine& machine, const Demand& head);

  // Of `free` places, the most that may be gone until `end` with the head starting as early as before. Every
  // subset of them may be gone as well.
  std::vector<size_t> spare(const std::vector<size_t>& free, double end) const;
  bool allows(const std::vector<size_t>& taken, double end) const;
  void take(const std::vector<size_t>& taken, double end);

 private:
  struct Group {
    std::vector<double> ends;    // known ones, ascending; free devices count as now
    std::vector<double> limits;  // [m]: the latest start if m of unknown end ended now and the others never
  };
  static constexpr size_t kNoGroup = static_cast<size_t>(-1);

  // The start from one group with m devices of unknown end there already, once `gone` of its free devices
  // come back at `end`.
  double start(const Group& group, size_t m, size_t gone, double end) const;
  bool holds(const std::vector<size_t>& gone, double end) const;  // by group
  size_t group_of(size_t place) const { return group_of_[place]; }

  size_t count_;
  std::vector<Group> groups_;
  std::vector<size_t> group_of_;  // by place
};

}  // namespace saemill
