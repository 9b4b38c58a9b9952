// Every metric that a training reports, once: events, charts and tables take names, units and labels from
// here.
#pragma once

#include <span>

namespace saemill {

struct MetricRow {
  const char* name;
  const char* label;
  const char* unit;       // "" where it has none
  const char* direction;  // which way is better: down | up | none
  const char* help;
};

std::span<const MetricRow> metric_catalog();

}  // namespace saemill
