#include "sample.cuh"

#include "engine/gpu/launch.h"
#include "sample.h"

namespace saemill::gpu::sample {
namespace {

int64_t divide_up(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

}  // namespace

void sum_blocks(const float* values, int64_t n, float* sums, const Stream& stream) {
  launch(stream, "sum_blocks", sum_blocks_kernel, {{divide_up(n, kThreads * kPerThread)}, kThreads}, values,
         n, sums);
}

void transpose(const float* in, int64_t rows, int64_t cols, float* out, const Stream& stream) {
  launch(stream, "transpose", transpose_kernel, {{divide_up(cols, kTile), divide_up(rows, kTile)}, kThreads},
         in, rows, cols, out);
}

void rotate(const float* in, int n, int by, float* out, const Stream& stream) {
  launch(stream, "rotate", rotate_kernel, {{1}, 128, static_cast<size_t>(n) * sizeof(float)}, in, n, by, out);
}

void to_low_precision(const float* in, int64_t n, BFloat16* out, const Stream& stream) {
  launch(stream, "convert", convert_kernel<BFloat16>, {{divide_up(n, 8 * 128)}, 128}, in, n, out);
}

}  // namespace saemill::gpu::sample
