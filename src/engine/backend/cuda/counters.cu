#include "engine/backend/cuda/counters.h"

#include "engine/backend/cuda/counters.cuh"
#include "engine/gpu/launch.h"

namespace saemill::gpu {

void store_count(const int64_t* count, double* out, const Stream& stream) {
  launch(stream, "store_count", store_count_kernel, {{1}, 32}, count, out);
}

}  // namespace saemill::gpu
