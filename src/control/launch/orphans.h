// What ranks started and left behind. A process that put itself into another group or session escapes a kill
// of the rank's group, and would go on holding its device.
#pragma once

namespace saemill {

// While this lives, orphans among this process's descendants become its children (PR_SET_CHILD_SUBREAPER)
// instead of init's. Not thread-safe; only for a process whose other children are all gone when end_all() is
// called.
class Orphans {
 public:
  Orphans();
  ~Orphans();  // ends what is left
  Orphans(const Orphans&) = delete;
  Orphans& operator=(const Orphans&) = delete;

  // Kills and reaps every descendant of this process, and what those start meanwhile. How many it killed.
  static int end_all();
};

}  // namespace saemill
