// A few neighbouring columns of a gathered row, as they lie in memory.
//
// A warp waits for a load where its value is first used, and turning bf16 into floats is such a use; so is
// the end of a branch around the load. Loops over gathered rows therefore load without a branch, all that is
// to be under way at once, keep the words, and take the floats out where they multiply them.
#pragma once

#include "engine/gpu/kernel.h"

namespace saemill::gpu {

template <typename Low, int kColumns>
struct RawColumns {
  static constexpr int kWords = kColumns * static_cast<int>(sizeof(Low)) / 4;
  static constexpr bool kPairs = sizeof(Low) == 2;  // two bf16 in a word, the first in its lower half
  Vec<unsigned, kWords> words{};

  __device__ float operator[](int i) const {
    if constexpr (!kPairs) return __uint_as_float(words[i]);
    return __uint_as_float(i % 2 == 0 ? words[i / 2] << 16 : words[i / 2] & 0xffff0000u);
  }
  __device__ void set(int i, Low value) {
    const unsigned bits = __float_as_uint(to_float(value));
    if constexpr (!kPairs)
      words[i] = bits;
    else
      words[i / 2] |= i % 2 == 0 ? bits >> 16 : bits;
  }
};

// Columns column, column + 1, ... of the row. kAligned: they can be loaded at once, and n is a multiple of
// kColumns; a lane beyond n gets the row's first columns then, which its caller must not use. Otherwise 0.
template <bool kAligned, int kColumns, typename Low>
__device__ inline RawColumns<Low, kColumns> load_raw(const Low* row, int column, int n) {
  RawColumns<Low, kColumns> raw;
  if constexpr (kAligned) {
    raw.words = load<RawColumns<Low, kColumns>::kWords>(
        reinterpret_cast<const unsigned*>(row + (column < n ? column : 0)));
  } else {
#pragma unroll
    for (int i = 0; i < kColumns; ++i)
      if (column + i < n) raw.set(i, row[column + i]);
  }
  return raw;
}

}  // namespace saemill::gpu
