#include "engine/backend/cuda/sums.cuh"

#include <algorithm>

#include "engine/gpu/launch.h"

namespace saemill::gpu {
namespace {

int whole_warps(int64_t threads, int64_t most) {
  return static_cast<int>(std::min(round_up(std::max<int64_t>(threads, 1), kLanes), most));
}

Grid column_grid(int64_t columns) {
  return {{ceil_div(columns, kLanes)}, kColumnThreads};
}

}  // namespace

void prepare_adam(const StepScalars* step, const double* clip_factor, AdamConstants* out,
                  const Stream& stream) {
  launch(stream, "prepare_adam", prepare_adam_kernel, {{1}, 1}, step, clip_factor, out);
}

void adam_vector(float* param, const float* grad, float* m, float* v, int64_t n,
                 const AdamConstants* constants, const Stream& stream) {
  launch(stream, "adam_vector", adam_vector_kernel, {{ceil_div(n, 256)}, 256}, param, grad, m, v, n,
         constants);
}

void add_batch_sums(const BatchSums& batch, const StepTotals& totals, const Stream& stream) {
  const int64_t blocks = ceil_div(batch.rows, kBlock);
  launch(stream, "add_row_stats", add_row_stats_kernel, {{1}, kColumnThreads}, batch.row_stats, batch.rows,
         totals.sums);
  launch(stream, "add_block_sums", add_columns_kernel<float>, column_grid(batch.n), batch.block_sums, blocks,
         batch.n, totals.bias);
  if (batch.moments != nullptr && totals.moments != nullptr)
    launch(stream, "add_moments", add_columns_kernel<double>, column_grid(batch.n + 1), batch.moments, blocks,
           batch.n + 1, totals.moments);
}

void finish_gradients(const GradientSums& gradients, const StepTotals& totals, const Stream& stream) {
  launch(stream, "bias_gradient", bias_gradient_kernel, column_grid(gradients.n), gradients.block_sums,
         gradients.blocks, gradients.n, totals.bias, gradients.grad_b_dec);
  launch(stream, "gradient_norm", gradient_norm_kernel, {{1}, kColumnThreads}, gradients.block_norms,
         gradients.blocks, gradients.grad_b_dec, gradients.n, gradients.clip_norm, totals.sums);
}

void data_moments(const float* x, int64_t rows, int64_t n, double* out, const Stream& stream) {
  launch(stream, "data_moments", data_moments_kernel,
         {{ceil_div(rows, kBlock)}, whole_warps(n, kColumnThreads)}, x, rows, n, out);
}

template <typename Low>
void center(const float* x, const float* b_dec, int64_t rows, int64_t padded_rows, int64_t n, Low* centered,
            const Stream& stream) {
  const Grid grid{{padded_rows}, whole_warps(ceil_div(n, 4), 256)};
  if (n % 4 == 0)
    launch(stream, "center", center_kernel<Low, true>, grid, x, b_dec, rows, n, centered);
  else
    launch(stream, "center", center_kernel<Low, false>, grid, x, b_dec, rows, n, centered);
}

template <typename Low>
void pack(const float* values, int64_t count, Low* out, const Stream& stream) {
  const Grid grid{{ceil_div(count, 4 * 256)}, 256};
  if (count % 4 == 0)
    launch(stream, "pack", pack_kernel<Low, true>, grid, values, count, out);
  else
    launch(stream, "pack", pack_kernel<Low, false>, grid, values, count, out);
}

template void center<float>(const float*, const float*, int64_t, int64_t, int64_t, float*, const Stream&);
template void center<BFloat16>(const float*, const float*, int64_t, int64_t, int64_t, BFloat16*,
                               const Stream&);
template void pack<float>(const float*, int64_t, float*, const Stream&);
template void pack<BFloat16>(const float*, int64_t, BFloat16*, const Stream&);

}  // namespace saemill::gpu
