#include "engine/backend/cuda/decode.cuh"

#include "engine/gpu/launch.h"

namespace saemill::gpu {
namespace {

template <typename Low, int kHeld, bool kMore>
void launch_decode(const DecodeArguments<Low>& a, const Stream& stream) {
  const Grid grid{
      {a.rows}, kDecodeThreads, decode_shared_floats(kSlab<Low>, a.codes.slots, a.aux.slots) * sizeof(float)};
  if (a.n % kLowLanes<Low> == 0)
    launch(stream, "decode", decode_kernel<Low, kHeld, kMore, true>, grid, a);
  else
    launch(stream, "decode", decode_kernel<Low, kHeld, kMore, false>, grid, a);
}

}  // namespace

template <typename Low>
void decode(const DecodeArguments<Low>& arguments, const Stream& stream) {
  // The fewer registers, the more blocks at a time.
  const int64_t slots = arguments.codes.slots;
  if (slots <= 4 * kDecodeWarps && arguments.aux.slots == 0)
    launch_decode<Low, 4, false>(arguments, stream);
  else if (slots <= 8 * kDecodeWarps && arguments.aux.slots == 0)
    launch_decode<Low, 8, false>(arguments, stream);
  else
    launch_decode<Low, 8, true>(arguments, stream);
}

template <typename Low>
void residual_block_sums(const Low* residual, int64_t rows, int64_t n, float* out, const Stream& stream) {
  const Grid grid{{ceil_div(rows, kBlock), ceil_div(n, 4 * kSumThreads)}, kSumThreads};
  if (n % 4 == 0)
    launch(stream, "residual_block_sums", residual_block_sums_kernel<Low, true>, grid, residual, rows, n,
           out);
  else
    launch(stream, "residual_block_sums", residual_block_sums_kernel<Low, false>, grid, residual, rows, n,
           out);
}

template void decode<float>(const DecodeArguments<float>&, const Stream&);
template void decode<BFloat16>(const DecodeArguments<BFloat16>&, const Stream&);
template void residual_block_sums<float>(const float*, int64_t, int64_t, float*, const Stream&);
template void residual_block_sums<BFloat16>(const BFloat16*, int64_t, int64_t, float*, const Stream&);

}  // namespace saemill::gpu
