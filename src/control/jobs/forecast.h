// When waiting trainings are expected to start, if everything ends as predicted and they start in their
// order: each takes the devices that are free first, for as long as it is predicted to take.
#pragma once

#include <optional>
#include <vector>

#include "control/jobs/schedule_machine.h"

namespace saemill {

class Forecast {
 public:
  explicit Forecast(const Machine& machine);

  // The next training of the queue, in epoch seconds, and it has its devices from then on. Absent: that
  // depends on an end which nobody knows, and so does whoever waits for the same devices behind it.
  std::optional<double> place(const Demand& demand, const Machine& machine);
  void take(const std::vector<size_t>& places, double end);  // by one that starts now

 private:
  std::vector<double> at_;  // by place
};

}  // namespace saemill
