// Memory of this machine, or of the control group (a container, a job of Slurm) that this process is in.
#pragma once

#include <cstdint>
#include <filesystem>

namespace saemill {

// Bytes; the largest number when unknown.
struct Memory {
  int64_t total;
  int64_t available;  // that can be taken without swapping, as the kernel estimates it
};

// The least of the machine's and that of each control group (version 2) from this process's up. What files
// hold in the page cache counts as available, since the kernel gives it back.
Memory read_memory(const std::filesystem::path& proc = "/proc",
                   const std::filesystem::path& groups = "/sys/fs/cgroup");

inline int64_t available_memory() {
  return read_memory().available;
}

}  // namespace saemill
