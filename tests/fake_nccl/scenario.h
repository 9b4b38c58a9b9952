#pragma once

#include <string>

namespace fake_nccl {

struct Scenario {
  std::string log;
  int rank = -1;
  bool init_hangs = false;
  int refused_at = -1;
  int async_error_at = -1;
  int stuck_at = -1;
  double abort_seconds = 0;

  bool concerns(int r) const { return rank == -1 || rank == r; }
};

// Throws std::exception for what is not a scenario.
Scenario parse_scenario(const std::string& text);

}  // namespace fake_nccl
