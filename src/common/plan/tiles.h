// How a batch and a dictionary are cut. The cuts depend on the configuration alone, never on the number of
// ranks or threads, so every sum and every GEMM call is the same at any of them.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>

namespace saemill {

inline constexpr int64_t kRowTile =
    128;  // activations in one GEMM call; a rank owns whole tiles of the batch
inline constexpr int64_t kBlock =
    64;  // sums over the batch or over latents: partial sums of 64, in index order

constexpr int64_t ceil_div(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}
constexpr int64_t round_up(int64_t a, int64_t b) {
  return ceil_div(a, b) * b;
}

// Latents in one GEMM call; a rank owns whole chunks of the dictionary. 512 runs best; small dictionaries
// take less so that there are chunks for several ranks.
constexpr int64_t latent_chunk(int64_t d_sae) {
  return std::clamp<int64_t>(
      static_cast<int64_t>(std::bit_floor(static_cast<uint64_t>(std::max<int64_t>(d_sae, 16)) / 16)), kBlock,
      512);
}

// The first of `count` things, cut in units, that part `part` of `parts` owns. Earlier parts get the larger
// shares.
constexpr int64_t share_begin(int64_t count, int64_t unit, int64_t part, int64_t parts) {
  const int64_t units = ceil_div(count, unit);
  return std::min(count, unit * (units / parts * part + std::min(part, units % parts)));
}

}  // namespace saemill
