#include "engine/train/exchange.h"

#include "common/plan/tiles.h"

namespace saemill {

void gather(Communicator& comm, const std::vector<Gathered>& buffers) {
  if (comm.is_shared()) return comm.barrier();
  for (const Gathered& buffer : buffers) {
    if (!buffer.view) continue;
    std::vector<size_t> bounds;
    for (const int64_t row : buffer.bounds)
      bounds.push_back(static_cast<size_t>(row) * buffer.view.row_bytes());
    comm.all_gather(buffer.view.data, bounds);
  }
}

std::vector<int64_t> gathered_bounds(int64_t rows, int64_t unit, int64_t per_row, int ranks) {
  std::vector<int64_t> bounds;
  for (int r = 0; r <= ranks; ++r) bounds.push_back(ceil_div(share_begin(rows, unit, r, ranks), per_row));
  return bounds;
}

}  // namespace saemill
