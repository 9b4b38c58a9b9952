#include "control/jobs/forecast.h"

#include <algorithm>
#include <tuple>

namespace saemill {

Forecast::Forecast(const Machine& machine) {
  for (const Place& place : machine.places) at_.push_back(place.at);
}

void Forecast::take(const std::vector<size_t>& places, double end) {
  for (const size_t i : places) at_[i] = end;
}

std::optional<double> Forecast::place(const Demand& demand, const Machine& machine) {
  std::vector<std::vector<size_t>> groups(demand.groups);
  for (const size_t i : demand.able) groups[demand.group(machine.places[i])].push_back(i);
  std::vector<size_t>* best = nullptr;
  double start = kUnknownEnd;
  for (auto& group : groups) {
    if (group.size() < demand.count) continue;
    const auto last = group.begin() + static_cast<std::ptrdiff_t>(demand.count) - 1;
    std::nth_element(group.begin(), last, group.end(),
                     [&](size_t a, size_t b) { return std::tie(at_[a], a) < std::tie(at_[b], b); });
    if (best == nullptr || at_[*last] < start) start = at_[*last], best = &group;
  }
  if (best == nullptr) return std::nullopt;
  best->resize(demand.count);
  const double duration = demand.job.duration.value_or(kUnknownEnd);
  take(*best, start + (duration >= 0 ? duration : kUnknownEnd));
  return start == kUnknownEnd ? std::nullopt : std::optional(start);
}

}  // namespace saemill
