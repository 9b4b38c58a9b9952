// The exchange of replicate mode: every rank has written its rows of the batch buffers, or its latents of the
// weight buffers, and afterwards every rank sees all of them. Where ranks share memory this is one barrier.
#pragma once

#include <vector>

#include "engine/comm/communicator.h"
#include "engine/tensor/view.h"

namespace saemill {

// A matrix of which rank r has written rows [bounds[r], bounds[r + 1]).
struct Gathered {
  View view;
  std::vector<int64_t> bounds;
};

void gather(Communicator& comm, const std::vector<Gathered>& buffers);

// bounds of `rows` rows cut in units of `unit`, one row of the matrix holding `per_row` of them: e.g. blocks
// of 64 activations.
std::vector<int64_t> gathered_bounds(int64_t rows, int64_t unit, int64_t per_row, int ranks);

}  // namespace saemill
