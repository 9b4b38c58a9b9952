// The curve of `bench scaling` as a picture.
#pragma once

#include <string>
#include <vector>

namespace saemill {

struct CurvePoint {
  int ranks = 1;
  double speed_up = 1;
  double rate = 0;  // activations/s
  bool shares = false;
};

// Speed-up over ranks, beside the straight line; hollow where ranks share cores or a GPU.
std::string scaling_svg(const std::string& title, const std::vector<CurvePoint>& points);

}  // namespace saemill
