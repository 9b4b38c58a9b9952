// One pass over latent rows: both gradients, projection, Adam, unit norm and the packed copies, a chunk at a
// time. Traffic per weight and step: 12 B read and 12 B written of f32 master and moments, and the packed
// copy.
#include <algorithm>
#include <cmath>

#include "engine/backend/cpu/cpu_backend.h"

namespace saemill {

template <typename Low>
void CpuBackend<Low>::gather_segment(const Codes& codes, const LatentIndex& by_latent, int64_t latent,
                                     Segment& segment) {
  const int64_t* offsets = by_latent.offsets.as<int64_t>() + latent;
  const int32_t* positions = by_latent.positions.as<int32_t>() + offsets[0];
  segment.count = offsets[1] - offsets[0];
  int32_t* rows = grow(segment.rows, segment.count);
  float* z = grow(segment.z, segment.count);
  float* g = grow(segment.g, segment.count);
  const auto k = static_cast<int32_t>(codes.index.cols);
  for (int64_t p = 0; p < segment.count; ++p) {
    rows[p] = positions[p] / k;
    z[p] = codes.value.as<float>()[positions[p]];
    g[p] = codes.grad.as<float>()[positions[p]];
  }
}

// The auxiliary slots of a tile of activations follow the tile's own: an order that a cut into micro-batches,
// which are whole tiles, does not change.
template <typename Low>
float CpuBackend<Low>::add_code_gradient(const LatentTask& task, int64_t latent, float* enc, float* dec,
                                         float bias, ThreadScratch& scratch) const {
  Segment &own = scratch.segment, &aux = scratch.aux_segment;
  gather_segment(task.codes, task.by_latent, latent, own);
  aux.count = 0;
  if (task.aux.index) gather_segment(task.aux, task.aux_by_latent, latent, aux);
  const auto add_until = [&](const Segment& segment, const View& residual, int64_t& at, int64_t end_row) {
    const int64_t first = at;
    for (; at < segment.count && segment.rows[static_cast<size_t>(at)] < end_row; ++at)
      bias += segment.g[static_cast<size_t>(at)];
    if (at > first)
      low_.accumulate(dec, enc, n_, residual.as<Low>(), task.centered.as<Low>(), at - first,
                      segment.rows.data() + first, segment.z.data() + first, segment.g.data() + first);
  };
  int64_t own_at = 0, aux_at = 0;
  while (aux_at < aux.count) {
    const int64_t aux_row = aux.rows[static_cast<size_t>(aux_at)];
    const int64_t end_row = (aux_row / kRowTile + 1) * kRowTile;
    add_until(own, task.residual, own_at, end_row);
    add_until(aux, task.aux_residual, aux_at, end_row);
  }
  add_until(own, task.residual, own_at, task.rows);
  return bias;
}

template <typename Low>
void CpuBackend<Low>::clear_blocks(const LatentTask& task, int64_t first, int64_t last) const {
  const int64_t blocks = ceil_div(last - first, kBlock);
  std::fill_n(task.block_sums.row<float>(first / kBlock), blocks * n_, 0.0f);
  std::fill_n(task.block_norms.as<double>() + first / kBlock, blocks, 0.0);
}

template <typename Low>
void CpuBackend<Low>::finish_latent(const LatentTask& task, const AdamConstants& adam, int64_t j, float* enc,
                                    float* dec, float bias) const {
  if (task.pass == LatentPass::accumulate) {
    std::copy_n(enc, n_, task.grad_W_enc.row<float>(j - task.first));
    std::copy_n(dec, n_, task.grad_W_dec.row<float>(j - task.first));
    task.grad_b_enc.as<float>()[j - task.first] = bias;
    return;
  }
  const LatentRow row{n_,
                      enc,
                      dec,
                      task.sae.W_enc.row<float>(j),
                      task.sae.W_dec.row<float>(j),
                      task.m.W_enc.row<float>(j),
                      task.m.W_dec.row<float>(j),
                      task.v.W_enc.row<float>(j),
                      task.v.W_dec.row<float>(j),
                      task.unit_norm};
  const int64_t block = j / kBlock;
  if (bias != 0.0f) kernels_.axpy(bias, row.w_enc, n_, task.block_sums.row<float>(block));
  task.block_norms.as<double>()[block] +=
      kernels_.project(row) + static_cast<double>(bias) * static_cast<double>(bias);
  if (task.pass == LatentPass::norm) return;
  kernels_.apply(row, adam);
  kernels_.adam(task.sae.b_enc.as<float>() + j, &bias, task.m.b_enc.as<float>() + j,
                task.v.b_enc.as<float>() + j, 1, adam);
}

template <typename Low>
void CpuBackend<Low>::do_update_latents(const LatentTask& task) {
  const int64_t first_chunk = task.first / chunk_;
  const AdamConstants adam = adam_constants(task.scalars, task.clip_factor);
  parallel_for(ceil_div(task.last - task.first, chunk_), scratch_, [&](int64_t i, ThreadScratch& scratch) {
    const auto [first, last] = chunk_range(first_chunk + i, task.last);
    float* enc = grow(scratch.grad_enc, n_);
    float* dec = grow(scratch.grad_dec, n_);
    clear_blocks(task, first, last);
    for (int64_t j = first; j < last; ++j) {
      const int64_t latent = j - task.first;
      float bias = task.grad_b_enc ? task.grad_b_enc.as<float>()[latent] : 0.0f;
      if (task.grad_W_enc) {
        std::copy_n(task.grad_W_enc.row<float>(latent), n_, enc);
        std::copy_n(task.grad_W_dec.row<float>(latent), n_, dec);
      } else {
        std::fill_n(enc, n_, 0.0f);
        std::fill_n(dec, n_, 0.0f);
      }
      if (task.add_batch) {
        bias = add_code_gradient(task, latent, enc, dec, bias, scratch);
        if (scratch.segment.count > 0 && task.last_fired)
          task.last_fired.as<int64_t>()[j] = task.scalars->now;
      }
      finish_latent(task, adam, j, enc, dec, bias);
    }
    if (task.pass == LatentPass::apply) pack_chunk(task.sae, task.packed, first_chunk + i, scratch);
  });
}

template <typename Low>
void CpuBackend<Low>::dense_chunk_gradient(const LatentTask& task, int64_t chunk, float* enc, float* dec,
                                           float* bias, ThreadScratch& scratch) {
  const DenseGemms& gemms = *dense_;
  const auto [first, last] = chunk_range(chunk, task.sae.W_enc.rows);
  float* pre = grow(scratch.tile, kRowTile * chunk_);
  float* dz = grow(scratch.tile2, kRowTile * chunk_);
  auto* z = reinterpret_cast<Low*>(grow(scratch.low, kRowTile * chunk_ * static_cast<int64_t>(sizeof(Low))));
  auto* g = reinterpret_cast<Low*>(grow(scratch.low2, kRowTile * chunk_ * static_cast<int64_t>(sizeof(Low))));
  std::byte* gemm_scratch = grow(
      scratch.gemm, static_cast<int64_t>(std::max(encode_.scratch_bytes(), gemms.gradient.scratch_bytes())));
  const int64_t batch = task.rows;
  for (int64_t row = 0; row < batch; row += kRowTile) {
    encode_.run(task.centered.row<Low>(row), packed_chunk(task.packed.encoder, chunk), pre, gemm_scratch);
    encode_.run(task.residual.row<Low>(row), packed_chunk(task.packed.decoder_transposed, chunk), dz,
                gemm_scratch);
    std::fill(z, z + kRowTile * chunk_, Low{});
    std::fill(g, g + kRowTile * chunk_, Low{});
    for (int64_t r = 0; r < std::min(kRowTile, batch - row); ++r)
      low_.relu_gradient(pre + r * chunk_, task.sae.b_enc.as<float>() + first, dz + r * chunk_,
                         static_cast<float>(task.scalars->l1), last - first, z + r * chunk_, g + r * chunk_,
                         bias, scratch.fired.data());
    gemms.gradient.run(z, task.residual.row<Low>(row), dec, gemm_scratch);
    gemms.gradient.run(g, task.centered.row<Low>(row), enc, gemm_scratch);
  }
}

template <typename Low>
void CpuBackend<Low>::do_update_latents_dense(const LatentTask& task) {
  dense();
  const int64_t first_chunk = task.first / chunk_;
  const AdamConstants adam = adam_constants(task.scalars, task.clip_factor);
  parallel_for(ceil_div(task.last - task.first, chunk_), scratch_, [&](int64_t i, ThreadScratch& scratch) {
    const auto [first, last] = chunk_range(first_chunk + i, task.last);
    float* enc = grow(scratch.grad_enc, chunk_ * n_);
    float* dec = grow(scratch.grad_dec, chunk_ * n_);
    float* bias = grow(scratch.row, chunk_);
    std::fill_n(enc, chunk_ * n_, 0.0f);
    std::fill_n(dec, chunk_ * n_, 0.0f);
    std::fill_n(bias, chunk_, 0.0f);
    std::fill_n(grow(scratch.fired, chunk_), chunk_, uint8_t{0});
    if (task.grad_W_enc) {
      const int64_t at = first - task.first;
      std::copy_n(task.grad_W_enc.row<float>(at), (last - first) * n_, enc);
      std::copy_n(task.grad_W_dec.row<float>(at), (last - first) * n_, dec);
      std::copy_n(task.grad_b_enc.as<float>() + at, last - first, bias);
    }
    clear_blocks(task, first, last);
    if (task.add_batch) dense_chunk_gradient(task, first_chunk + i, enc, dec, bias, scratch);
    for (int64_t j = first; j < last; ++j) {
      if (scratch.fired[static_cast<size_t>(j - first)] != 0 && task.last_fired)
        task.last_fired.as<int64_t>()[j] = task.scalars->now;
      finish_latent(task, adam, j, enc + (j - first) * n_, dec + (j - first) * n_, bias[j - first]);
    }
    if (task.pass == LatentPass::apply) pack_chunk(task.sae, task.packed, first_chunk + i, scratch);
  });
}

template class CpuBackend<float>;
template class CpuBackend<BFloat16>;

}  // namespace saemill
