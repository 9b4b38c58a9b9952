#include "engine/train/gathered_bounds.h"

#include "common/plan/tiles.h"

namespace saemill {

std::vector<int64_t> gathered_bounds(int64_t rows, int64_t unit, int64_t per_row, int ranks) {
  std::vector<int64_t> bounds;
  for (int r = 0; r <= ranks; ++r) bounds.push_back(ceil_div(share_begin(rows, unit, r, ranks), per_row));
  return bounds;
}

}  // namespace saemill
