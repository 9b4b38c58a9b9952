// Reconstruction, residual and the gradient of the code, from gathered decoder rows. A row's decoder rows
// stay in cache between the two uses.
#include <algorithm>

#include "engine/backend/cpu/cpu_backend.h"

namespace saemill {
namespace {

// Active slots come first.
int64_t active_slots(const View& value, int64_t row) {
  const float* values = value.row<float>(row);
  return std::find_if(values, values + value.cols, [](float v) { return !(v > 0); }) - values;
}

void code_gradient(const Kernels& kernels, const Codes& codes, const View& W_dec, int64_t row, int64_t active,
                   const float* scaled, float l1) {
  float* grad = codes.grad.row<float>(row);
  kernels.dots(scaled, W_dec.cols, W_dec.as<float>(), active, codes.index.row<int32_t>(row), l1, grad);
  std::fill(grad + active, grad + codes.grad.cols, 0.0f);
}

}  // namespace

template <typename Low>
void CpuBackend<Low>::decode_block(const DecodeTask& task, int64_t block, ThreadScratch& scratch) {
  float* sums = task.block_sums.row<float>(block);
  std::fill_n(sums, n_, 0.0f);
  float* error = grow(scratch.row, n_);
  float* scaled = grow(scratch.row2, n_);
  float* aux_error = grow(scratch.row3, n_);
  const float* W_dec = task.sae.W_dec.as<float>();
  const auto scale = static_cast<float>(task.scale);
  for (int64_t r = block * kBlock; r < std::min((block + 1) * kBlock, task.x.rows); ++r) {
    double* stats = task.row_stats.row<double>(r);
    const float* value = task.codes.value.row<float>(r);
    const int64_t active = active_slots(task.codes.value, r);
    std::copy_n(task.sae.b_dec.as<float>(), n_, error);
    kernels_.weighted_sum(error, n_, W_dec, active, task.codes.index.row<int32_t>(r), value);
    kernels_.subtract(error, task.x.row<float>(r), n_, error);
    stats[kSquaredError] = low_.emit(error, scale, n_, scaled, task.residual.row<Low>(r), sums);
    stats[kL1] = 0;
    for (int64_t s = 0; s < active; ++s) stats[kL1] += static_cast<double>(value[s]);
    stats[kL0] = static_cast<double>(active);
    stats[kAuxSquaredError] = 0;
    code_gradient(kernels_, task.codes, task.sae.W_dec, r, active, scaled,
                  static_cast<float>(task.scalars->l1));
    if (!task.aux.index) continue;
    const int64_t aux_active = active_slots(task.aux.value, r);
    std::copy_n(error, n_, aux_error);  // aux_hat - (x - x_hat)
    kernels_.weighted_sum(aux_error, n_, W_dec, aux_active, task.aux.index.row<int32_t>(r),
                          task.aux.value.row<float>(r));
    stats[kAuxSquaredError] = low_.emit(aux_error, static_cast<float>(task.scale * task.aux_coefficient), n_,
                                        scaled, task.aux_residual.row<Low>(r), nullptr);
    code_gradient(kernels_, task.aux, task.sae.W_dec, r, aux_active, scaled, 0.0f);
  }
}

template <typename Low>
void CpuBackend<Low>::do_decode(const DecodeTask& task) {
  parallel_for(ceil_div(task.x.rows, kBlock), scratch_,
               [&](int64_t block, ThreadScratch& scratch) { decode_block(task, block, scratch); });
}

template <typename Low>
void CpuBackend<Low>::dense_forward_tile(const DenseForwardTask& task, int64_t tile, ThreadScratch& scratch) {
  const DenseGemms& gemms = *dense_;
  const int64_t first_row = tile * kRowTile, rows = std::min(task.x.rows - first_row, kRowTile);
  const int64_t latents = task.sae.W_enc.rows;
  float* pre = grow(scratch.tile, kRowTile * chunk_);
  float* x_hat = grow(scratch.tile2, kRowTile * n_);
  auto* z = reinterpret_cast<Low*>(grow(scratch.low, kRowTile * chunk_ * static_cast<int64_t>(sizeof(Low))));
  std::byte* gemm_scratch = grow(
      scratch.gemm, static_cast<int64_t>(std::max(encode_.scratch_bytes(), gemms.decode.scratch_bytes())));
  for (int64_t r = 0; r < kRowTile; ++r) std::copy_n(task.sae.b_dec.as<float>(), n_, x_hat + r * n_);
  for (int64_t r = 0; r < rows; ++r)
    std::fill_n(task.row_stats.row<double>(first_row + r), int64_t{kRowStats}, 0.0);
  for (int64_t chunk = 0; chunk * chunk_ < latents; ++chunk) {
    const auto [first, last] = chunk_range(chunk, latents);
    encode_.run(task.centered.row<Low>(first_row), packed_chunk(task.packed.encoder, chunk), pre,
                gemm_scratch);
    std::fill(z, z + kRowTile * chunk_, Low{});
    for (int64_t r = 0; r < rows; ++r) {
      double* stats = task.row_stats.row<double>(first_row + r);
      low_.relu(pre + r * chunk_, task.sae.b_enc.as<float>() + first, last - first, z + r * chunk_,
                &stats[kL1], &stats[kL0]);
    }
    gemms.decode.run(z, packed_chunk(task.packed.decoder, chunk), x_hat, gemm_scratch);
  }
  float* scaled = grow(scratch.row, n_);
  for (int64_t r = 0; r < rows; ++r) {
    const int64_t row = first_row + r;
    float* sums = task.block_sums.row<float>(row / kBlock);
    if (row % kBlock == 0) std::fill_n(sums, n_, 0.0f);
    kernels_.subtract(x_hat + r * n_, task.x.row<float>(row), n_, x_hat + r * n_);
    task.row_stats.row<double>(row)[kSquaredError] = low_.emit(x_hat + r * n_, static_cast<float>(task.scale),
                                                               n_, scaled, task.residual.row<Low>(row), sums);
  }
}

template <typename Low>
void CpuBackend<Low>::do_dense_forward(const DenseForwardTask& task) {
  dense();
  parallel_for(ceil_div(task.x.rows, kRowTile), scratch_,
               [&](int64_t tile, ThreadScratch& scratch) { dense_forward_tile(task, tile, scratch); });
}

template class CpuBackend<float>;
template class CpuBackend<BFloat16>;

}  // namespace saemill
