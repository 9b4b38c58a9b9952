// The order of the data: a pure function of (seed, position), so that the state of the order is one integer,
// no index array exists, no row is repeated or lost within an epoch, and the order does not depend on the
// number of ranks.
//
// With block_rows of 1 any row may follow any other. A disk that reads rows one by one is slow, so for files
// larger than memory rows may be mixed in two levels: blocks of rows that lie next to each other are
// shuffled, cut into windows of window_blocks or somewhat fewer, and the rows of each window are shuffled.
// Whoever reads a window's blocks ahead reads whole blocks. What that costs in mixing: of the B rows of a
// batch, each has (B - 1) (block_rows - 1) / (rows of the window - 1) others of its own block beside it in
// the mean, about B / window_blocks. Rows behind the last whole block are of the epoch's last window.
#pragma once

#include <cstdint>
#include <vector>

namespace saemill {

struct DataOrder {
  int64_t rows = 1;
  uint64_t seed = 0;
  int64_t block_rows = 1;        // up to 2^20
  int64_t window_blocks = 4096;  // likewise; says nothing where block_rows is 1
};

// The row at global position `position`, counted over all epochs. A permutation is a keyed Feistel network
// over the next power of four, walked until it falls inside (cycle walking; Black and Rogaway 2002).
int64_t row_at(const DataOrder& order, int64_t position);

struct RowRange {
  int64_t first = 0, last = 0;
};

// The blocks to be read ahead while positions [first, last) are read: their share of the next window, so that
// all positions of a window ask for each block of the next one once. Nothing of what begins at `end` or
// later, and nothing where block_rows is 1.
std::vector<RowRange> blocks_ahead(const DataOrder& order, int64_t first, int64_t last, int64_t end);

// What has to be read before that when reading begins at `position`: its own window, and what the positions
// before it had asked for.
std::vector<RowRange> blocks_at_start(const DataOrder& order, int64_t position, int64_t end);

}  // namespace saemill
