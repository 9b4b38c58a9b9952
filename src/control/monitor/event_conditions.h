// When a condition begins and ends: twice a limit, or a time, so that a value that hovers tells nothing
// twice. An absent value changes nothing. Not thread-safe.
#pragma once

#include <optional>

namespace saemill {

// On at `on` and above, off below `off`; the same for the worse degree, which is part of being on.
struct LevelLimits {
  double on, off, worse_on, worse_off;
};

class LevelCondition {
 public:
  enum class Change { none, on, worse, off };
  // From `worse` down to `on` is no change that is told: a second rise is.
  Change update(std::optional<double> value, const LevelLimits& limits);

 private:
  enum class Level { off, on, worse } level_ = Level::off;
};

class LastingCondition {
 public:
  enum class Change { none, on, off };
  // On once `value` was true for `on_after` seconds without a break, off once it was false for `off_after`.
  // Only the time between two values that are neighbours counts.
  Change update(std::optional<bool> value, double epoch, double on_after, double off_after);
  double lasted() const { return lasted_; }  // seconds that led to the last change

 private:
  bool on_ = false, counting_ = false;
  double lasted_ = 0;
  std::optional<double> last_;  // when the value before came
};

}  // namespace saemill
