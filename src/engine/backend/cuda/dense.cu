#include "engine/backend/cuda/dense.cuh"

#include "engine/gpu/launch.h"

namespace saemill::gpu {

template <typename Low>
void dense_activate(const DenseChunk& chunk, bool begin, Low* z, double* row_stats, const Stream& stream) {
  const Grid grid{{chunk.padded_rows}, kDenseThreads};
  if (chunk.ld % 4 == 0)
    launch(stream, "dense_activate", dense_activate_kernel<Low, true>, grid, chunk, begin, z, row_stats);
  else
    launch(stream, "dense_activate", dense_activate_kernel<Low, false>, grid, chunk, begin, z, row_stats);
}

template <typename Low>
void dense_error(const DenseError<Low>& arguments, const Stream& stream) {
  const Grid grid{{arguments.rows}, kDenseThreads};
  if (arguments.n % 4 == 0)
    launch(stream, "dense_error", dense_error_kernel<Low, true>, grid, arguments);
  else
    launch(stream, "dense_error", dense_error_kernel<Low, false>, grid, arguments);
}

size_t dense_scratch_bytes(int64_t padded_rows, int64_t count) {
  return static_cast<size_t>(ceil_div(padded_rows, kBlock) * count) * sizeof(float);
}

template <typename Low>
void dense_gradient(const DenseGradient<Low>& arguments, void* scratch, const Stream& stream) {
  const DenseChunk& chunk = arguments.chunk;
  auto* partial = static_cast<float*>(scratch);
  const Grid grid{{ceil_div(chunk.padded_rows, kBlock), ceil_div(chunk.ld, kDenseColumns)}, kDenseThreads};
  if (chunk.ld % 4 == 0)
    launch(stream, "dense_gradient", dense_gradient_kernel<Low, true>, grid, arguments, partial);
  else
    launch(stream, "dense_gradient", dense_gradient_kernel<Low, false>, grid, arguments, partial);
  launch(stream, "dense_bias", dense_bias_kernel, {{ceil_div(chunk.count, kDenseThreads)}, kDenseThreads},
         partial, ceil_div(chunk.padded_rows, kBlock), chunk.count, arguments.grad_b_enc);
}

template void dense_activate<float>(const DenseChunk&, bool, float*, double*, const Stream&);
template void dense_activate<BFloat16>(const DenseChunk&, bool, BFloat16*, double*, const Stream&);
template void dense_error<float>(const DenseError<float>&, const Stream&);
template void dense_error<BFloat16>(const DenseError<BFloat16>&, const Stream&);
template void dense_gradient<float>(const DenseGradient<float>&, void*, const Stream&);
template void dense_gradient<BFloat16>(const DenseGradient<BFloat16>&, void*, const Stream&);

}  // namespace saemill::gpu
