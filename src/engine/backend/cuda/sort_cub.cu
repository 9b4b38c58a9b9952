// The sort of group.h by CUB. Its twin without a device is tests/cuda_kernels/twins/sort_plain.cpp.
#include <cub/device/device_radix_sort.cuh>

#include "common/base/error.h"
#include "engine/backend/cuda/group.h"
#include "engine/gpu/cuda/check.h"

namespace saemill::gpu {

// CUB wants second arrays of keys and values, 1 KB for each of its tiles, which are of more than 1024 pairs,
// and a few histograms. It refuses to run with less than it needs.
size_t sort_scratch_bytes(int64_t count) {
  return 9 * static_cast<size_t>(count) + (size_t{1} << 20);
}

void sort_pairs(const SortPairs& pairs, void* scratch, size_t scratch_bytes, const Stream& stream) {
  if (pairs.count == 0) return;
  ensure(pairs.count <= 0x7fffffff, "more pairs to sort than int counts");
  check(cub::DeviceRadixSort::SortPairs(scratch, scratch_bytes, pairs.keys, pairs.sorted_keys, pairs.values,
                                        pairs.sorted_values, static_cast<int>(pairs.count), 0, pairs.bits,
                                        static_cast<cudaStream_t>(stream.native())),
        "sorting pairs with CUB");
}

}  // namespace saemill::gpu
