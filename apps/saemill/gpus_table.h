// The devices of a machine as a table for a person.
#pragma once

#include <string>

#include "control/monitor/inventory.h"

namespace saemill {

struct TableStyle {
  bool color = false;
  bool unicode = true;  // bars of block characters, else of # and .
  int width = 100;      // columns; longer lines are cut
};

// One line a device with bars for load and memory, temperature, power, state and owner; a line that sums them
// up; and what is wrong with the driver or the store, if anything.
std::string render_table(const Snapshot& snapshot, const std::vector<Device>& devices,
                         const TableStyle& style);

TableStyle style_of_terminal();  // of stdout: NO_COLOR, the locale and the window's width count

}  // namespace saemill
