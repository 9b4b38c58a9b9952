// One line of RUN/events.jsonl. Private to this folder.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>

#include "control/store/run_events.h"

namespace saemill {

struct EventLine {
  RunEvent event;       // without `data`
  nlohmann::json data;  // the whole line
};

// Absent: no event that can be applied. It must be an object with seq and event; metrics need a step and
// values, checkpoint a step and a path, rewind a step. Whatever else is missing or of another type is absent.
std::optional<EventLine> parse_event_line(std::string_view line);

}  // namespace saemill
