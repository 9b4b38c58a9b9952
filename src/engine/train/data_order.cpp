#include "engine/train/data_order.h"

#include <fmt/format.h>

#include <algorithm>

#include "common/base/text.h"

namespace saemill {

DataOrder data_order(const RunConfig& config, const ActivationSet& set) {
  return {set.rows(), static_cast<uint64_t>(config.train.seed), config.activations.block_rows,
          config.activations.window_blocks};
}

std::string why_windows_do_not_fit(const DataOrder& order, const ActivationSet& set, int64_t free_bytes) {
  if (order.block_rows == 1) return "";
  const int64_t row_bytes = set.d_in() * (set.dtype() == "F32" ? 4 : 2);  // its files may hold other tensors
  const int64_t bytes = std::min(order.rows, 2 * order.block_rows * order.window_blocks) * row_bytes;
  if (bytes <= free_bytes) return "";
  return fmt::format(
      "two windows of activations are {}, and {} of memory are free: rows are read from disk more than once; "
      "smaller: activations.window_blocks, which is {}",
      memory_text(bytes), memory_text(free_bytes), order.window_blocks);
}

}  // namespace saemill
