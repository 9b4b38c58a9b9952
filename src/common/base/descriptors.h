// How many files this process may have open.
#pragma once

#include <sys/resource.h>

namespace saemill {

// As many as it is allowed to ask for: a folder may have more shards, a server more clients, than the usual
// 1024.
inline void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace saemill
