#include "control/monitor/event_conditions.h"

#include <algorithm>
#include <cmath>

namespace saemill {

LevelCondition::Change LevelCondition::update(std::optional<double> value, const LevelLimits& limits) {
  if (!value || !std::isfinite(*value)) return Change::none;
  const Level before = level_;
  if (*value >= limits.worse_on) {
    level_ = Level::worse;
  } else if (before == Level::off) {
    if (*value >= limits.on) level_ = Level::on;
  } else if (*value < limits.off) {
    level_ = Level::off;
  } else if (*value < limits.worse_off) {
    level_ = Level::on;
  }
  if (level_ == before) return Change::none;
  if (level_ == Level::off) return Change::off;
  if (level_ == Level::worse) return Change::worse;
  return before == Level::off ? Change::on : Change::none;
}

LastingCondition::Change LastingCondition::update(std::optional<bool> value, double epoch, double on_after,
                                                  double off_after) {
  const auto before = last_;
  last_ = value ? std::optional(epoch) : std::nullopt;
  if (!value) return Change::none;
  if (*value == on_) {
    counting_ = false;
    return Change::none;
  }
  if (!counting_) {
    counting_ = true;
    lasted_ = 0;
  } else if (before) {
    lasted_ += std::max(0.0, epoch - *before);  // the clock may be set back
  }
  if (lasted_ < (on_ ? off_after : on_after)) return Change::none;
  on_ = *value;
  counting_ = false;
  return on_ ? Change::on : Change::off;
}

}  // namespace saemill
