// Who has written which rows of an exchanged matrix.
#pragma once

#include <cstdint>
#include <vector>

namespace saemill {

// bounds of `rows` rows cut in units of `unit`, one row of the matrix holding `per_row` of them: e.g. blocks
// of 64 activations.
std::vector<int64_t> gathered_bounds(int64_t rows, int64_t unit, int64_t per_row, int ranks);

}  // namespace saemill
