#include "control/jobs/reservation.h"

#include <algorithm>

namespace saemill {

Reservation::Reservation(const Machine& machine, const Demand& head)
    : count_(head.count), groups_(head.groups), group_of_(machine.places.size(), kNoGroup) {
  std::vector<size_t> unknown(head.groups);
  for (const size_t i : head.able) {
    const Place& place = machine.places[i];
    group_of_[i] = head.group(place);
    if (place.at == kUnknownEnd) {
      ++unknown[group_of_[i]];
    } else {
      groups_[group_of_[i]].ends.push_back(place.at);
    }
  }
  double soonest = kUnknownEnd;
  for (const Group& group : groups_) soonest = std::min(soonest, start(group, 0, 0, 0));
  for (size_t g = 0; g < groups_.size(); ++g) {
    for (size_t m = 0; m <= std::min(unknown[g], count_ - 1); ++m)
      groups_[g].limits.push_back(std::min(soonest, start(groups_[g], m, 0, 0)));
  }
}

double Reservation::start(const Group& group, size_t m, size_t gone, double end) const {
  const size_t needed = count_ - m;  // >= 1: the needed-th of the known ends, with the gone ones at `end`
  const auto first = group.ends.begin() + static_cast<std::ptrdiff_t>(gone);
  const auto before = static_cast<size_t>(std::lower_bound(first, group.ends.end(), end) - first);
  if (needed <= before) return first[static_cast<std::ptrdiff_t>(needed) - 1];
  if (needed <= before + gone) return end;
  const size_t later = needed - gone;  // the gone ones come before it
  return later <= group.ends.size() - gone ? first[static_cast<std::ptrdiff_t>(later) - 1] : kUnknownEnd;
}

// A start may grow from one group as long as another serves as early: that is what `soonest` says.
bool Reservation::holds(const std::vector<size_t>& gone, double end) const {
  double soonest = kUnknownEnd;
  for (size_t g = 0; g < groups_.size(); ++g) soonest = std::min(soonest, start(groups_[g], 0, gone[g], end));
  for (size_t g = 0; g < groups_.size(); ++g) {
    for (size_t m = 0; m < groups_[g].limits.size(); ++m) {
      if (std::min(soonest, start(groups_[g], m, gone[g], end)) > groups_[g].limits[m]) return false;
    }
  }
  return true;
}

std::vector<size_t> Reservation::spare(const std::vector<size_t>& free, double end) const {
  std::vector<size_t> gone(groups_.size()), kept;
  std::vector<bool> closed(groups_.size());
  for (const size_t i : free) {
    const size_t g = group_of(i);
    if (g == kNoGroup) {
      kept.push_back(i);
    } else if (!closed[g]) {
      ++gone[g];
      if (holds(gone, end)) {
        kept.push_back(i);
      } else {
        --gone[g];
        closed[g] = true;
      }
    }
  }
  return kept;
}

bool Reservation::allows(const std::vector<size_t>& taken, double end) const {
  std::vector<size_t> gone(groups_.size());
  for (const size_t i : taken) {
    if (group_of(i) != kNoGroup) ++gone[group_of(i)];
  }
  return holds(gone, end);
}

void Reservation::take(const std::vector<size_t>& taken, double end) {
  for (const size_t i : taken) {
    if (group_of(i) == kNoGroup) continue;
    auto& ends = groups_[group_of(i)].ends;
    ends.erase(ends.begin());  // it was free, so it is among the first
    if (end != kUnknownEnd) ends.insert(std::upper_bound(ends.begin(), ends.end(), end), end);
  }
}

}  // namespace saemill
