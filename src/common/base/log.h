// The one log of a program: lines on stderr with a time and a level. Thread-safe. What comes from outside is
// made harmless here: a control character in a name cannot forge a line.
#pragma once

#include <string_view>

namespace saemill {

enum class LogLevel { info, warning, error };

void log_line(LogLevel level, std::string_view message);

}  // namespace saemill
