// What a command does again and again until Ctrl-C.
#pragma once

#include <functional>
#include <string>

#include "control/launch/fd.h"

namespace saemill {

// Takes SIGINT and SIGTERM of this process; to be made before threads, which would take them otherwise.
class Interrupt {
 public:
  Interrupt();
  bool within(double seconds) const;  // sleeps; true at once when one has come

 private:
  Fd signals_;
};

// Prints `text()` every `interval` seconds until Ctrl-C; on a terminal in the place of the one before, unless
// they are lines for a program.
int watch(const Interrupt& interrupt, double interval, bool lines, const std::function<std::string()>& text);

void put(const std::string& text);  // to stdout, at once

}  // namespace saemill
