// The order of the data: a pure function of (seed, position), so that the state of the order is one integer,
// no index array exists, no row is repeated or lost within an epoch, and the order does not depend on the
// number of ranks.
#pragma once

#include <cstdint>

namespace saemill {

// The row at global position `position` (counted over all epochs) of `rows` rows: a keyed Feistel network
// over the next power of four, walked until it falls inside (cycle walking; Black and Rogaway 2002). rows
// >= 1.
int64_t row_at(int64_t position, int64_t rows, uint64_t seed);

}  // namespace saemill
