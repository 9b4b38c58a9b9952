// The sort of group.h on the host, for the emulation.
#include <algorithm>
#include <numeric>
#include <vector>

#include "common/base/error.h"
#include "engine/backend/cuda/group.h"
#include "gpu_emulation_control.h"

namespace saemill::gpu {

size_t sort_scratch_bytes(int64_t count) {
  return static_cast<size_t>(count) * sizeof(uint32_t);
}

void sort_pairs(const SortPairs& pairs, void* scratch, size_t scratch_bytes, const Stream& stream) {
  ensure(scratch_bytes >= sort_scratch_bytes(pairs.count), "the scratch memory of a sort");
  emulation::enqueue(stream, "sort_pairs", [pairs, scratch] {
    auto* order = static_cast<uint32_t*>(scratch);
    std::iota(order, order + pairs.count, 0u);
    const uint32_t mask = pairs.bits >= 32 ? ~0u : (1u << pairs.bits) - 1;
    std::stable_sort(order, order + pairs.count,
                     [&](uint32_t a, uint32_t b) { return (pairs.keys[a] & mask) < (pairs.keys[b] & mask); });
    for (int64_t i = 0; i < pairs.count; ++i) {
      pairs.sorted_keys[i] = pairs.keys[order[i]];
      pairs.sorted_values[i] = pairs.values[order[i]];
    }
  });
}

}  // namespace saemill::gpu
