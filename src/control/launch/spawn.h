// From fork() to the program: what Process and start_detached() share. Private to this folder.
#pragma once

#include <sched.h>

#include "control/launch/process.h"

namespace saemill {

// Everything that allocates, done before fork(). Points into the options, which must outlive it.
class SpawnImage {
 public:
  explicit SpawnImage(const SpawnOptions& options);
  ~SpawnImage();
  SpawnImage(const SpawnImage&) = delete;
  SpawnImage& operator=(const SpawnImage&) = delete;

  // In the child, with async-signal-safe calls only: the program, with nothing of ours but what it shall
  // inherit. Comes back where that fails, with errno set.
  void become() const;

 private:
  const SpawnOptions& options_;
  std::vector<char*> arguments_, environment_;
  cpu_set_t* mask_ = nullptr;
  size_t mask_bytes_ = 0;
};

}  // namespace saemill
