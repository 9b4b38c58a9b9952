#include "engine/backend/cpu/cpu_backend.h"

#include <algorithm>
#include <cmath>

namespace saemill {

template <typename Low>
CpuBackend<Low>::CpuBackend(int64_t d_in, int64_t d_sae, int threads, const Kernels& kernels)
    : n_(d_in),
      chunk_(latent_chunk(d_sae)),
      kernels_(kernels),
      low_(low_kernels<Low>(kernels_)),
      encode_({.m = kRowTile, .n = chunk_, .k = n_, .dtype = dtype_of<Low>()}),
      scratch_(static_cast<size_t>(std::max(threads, 1))) {}

template <typename Low>
std::string CpuBackend<Low>::name() const {
  return fmt::format("cpu {}, {} by oneDNN {}", kernels_.isa, dtype_name(low()), encode_.implementation());
}

template <typename Low>
int64_t CpuBackend<Low>::packed_chunk_bytes() const {
  return round_up(static_cast<int64_t>(encode_.packed_bytes()), 64);
}

template <typename Low>
const typename CpuBackend<Low>::DenseGemms& CpuBackend<Low>::dense() {
  if (!dense_)
    dense_ = std::make_unique<DenseGemms>(
        DenseGemms{Gemm({.m = kRowTile, .n = n_, .k = chunk_, .dtype = dtype_of<Low>(), .accumulate = true}),
                   Gemm({.m = chunk_,
                         .n = n_,
                         .k = kRowTile,
                         .dtype = dtype_of<Low>(),
                         .a_transposed = true,
                         .packed_b = false,
                         .accumulate = true})});
  return *dense_;
}

template <typename Low>
void CpuBackend<Low>::do_center(const View& x, const View& b_dec, const View& centered) {
  parallel_for(ceil_div(centered.rows, kBlock), scratch_, [&](int64_t block, ThreadScratch&) {
    for (int64_t r = block * kBlock; r < std::min((block + 1) * kBlock, centered.rows); ++r) {
      if (r < x.rows)
        low_.center(x.row<float>(r), b_dec.as<float>(), n_, centered.row<Low>(r));
      else
        std::fill_n(centered.row<Low>(r), n_, Low{});
    }
  });
}

template <typename Low>
void CpuBackend<Low>::pack_chunk(const SaeViews& sae, const PackedViews& packed, int64_t chunk,
                                 ThreadScratch& scratch) {
  const auto [first, last] = chunk_range(chunk, sae.W_enc.rows);
  const auto in_low = [&](const View& weights) -> const void* {
    const int64_t count = (last - first) * n_;
    if constexpr (std::is_same_v<Low, float>)
      if (last - first == chunk_) return weights.row<float>(first);
    auto* low = reinterpret_cast<Low*>(grow(scratch.low, chunk_ * n_ * static_cast<int64_t>(sizeof(Low))));
    low_.convert(weights.row<float>(first), count, low);
    std::fill(low + count, low + chunk_ * n_, Low{});
    return low;
  };
  const auto target = [&](const View& view) { return view.data + chunk * view.cols; };
  encode_.pack(in_low(sae.W_enc), true, target(packed.encoder));
  if (packed.decoder) {
    const void* low = in_low(sae.W_dec);
    dense_->decode.pack(low, false, target(packed.decoder));
    encode_.pack(low, true, target(packed.decoder_transposed));
  }
}

template <typename Low>
void CpuBackend<Low>::do_pack(const SaeViews& sae, const PackedViews& packed, int64_t first, int64_t last) {
  if (packed.decoder) dense();
  const int64_t first_chunk = first / chunk_;
  parallel_for(ceil_div(last - first, chunk_), scratch_,
               [&](int64_t i, ThreadScratch& scratch) { pack_chunk(sae, packed, first_chunk + i, scratch); });
}

template <typename Low>
void CpuBackend<Low>::do_group_by_latent(const Codes& codes, int64_t first, int64_t last,
                                         const LatentIndex& out) {
  const int64_t rows = codes.index.rows, k = codes.index.cols, latents = last - first;
  ensure(rows * k < INT32_MAX, "more code slots than an index holds");
  int64_t* offsets = out.offsets.as<int64_t>();
  std::fill(offsets, offsets + latents + 1, 0);
  // Each part of the latents is one thread's, which reads the codes in batch order.
  const auto parts = static_cast<int64_t>(scratch_.size());
  const auto each_slot = [&](int64_t part, auto&& work) {
    const int64_t low = first + latents * part / parts, high = first + latents * (part + 1) / parts;
    for (int64_t r = 0; r < rows; ++r) {
      const float* value = codes.value.row<float>(r);
      const int32_t* index = codes.index.row<int32_t>(r);
      for (int64_t s = 0; s < k && value[s] > 0; ++s)
        if (index[s] >= low && index[s] < high) work(index[s] - first, r * k + s);
    }
  };
  parallel_for(parts, scratch_, [&](int64_t part, ThreadScratch&) {
    each_slot(part, [&](int64_t latent, int64_t) { ++offsets[latent + 1]; });
  });
  for (int64_t j = 0; j < latents; ++j) offsets[j + 1] += offsets[j];
  int32_t* positions = out.positions.as<int32_t>();
  std::vector<int64_t> cursor(offsets, offsets + latents);
  parallel_for(parts, scratch_, [&](int64_t part, ThreadScratch&) {
    each_slot(part, [&](int64_t latent, int64_t slot) {
      positions[cursor[static_cast<size_t>(latent)]++] = static_cast<int32_t>(slot);
    });
  });
}

template <typename Low>
void CpuBackend<Low>::do_data_moments(const View& x, const View& out) {
  parallel_for(ceil_div(x.rows, kBlock), scratch_, [&](int64_t block, ThreadScratch&) {
    double* sums = out.row<double>(block);
    std::fill_n(sums, n_ + 1, 0.0);
    for (int64_t r = block * kBlock; r < std::min((block + 1) * kBlock, x.rows); ++r)
      for (int64_t i = 0; i < n_; ++i) {
        const double value = static_cast<double>(x.row<float>(r)[i]);
        sums[i] += value;
        sums[n_] += value * value;
      }
  });
}

AdamConstants adam_constants(const StepScalars* scalars, const double* clip_factor) {
  const AdamStep& step = scalars->adam;
  const double t = static_cast<double>(step.step);
  return {static_cast<float>(step.beta1),
          static_cast<float>(1 - step.beta1),
          static_cast<float>(step.beta2),
          static_cast<float>(1 - step.beta2),
          static_cast<float>(step.lr / (1 - std::pow(step.beta1, t))),
          static_cast<float>(1 / std::sqrt(1 - std::pow(step.beta2, t))),
          static_cast<float>(step.epsilon),
          static_cast<float>(clip_factor ? *clip_factor : 1.0)};
}

template <typename Low>
void CpuBackend<Low>::do_adam(const View& param, const View& grad, const View& m, const View& v,
                              const StepScalars* scalars, const double* clip_factor) {
  kernels_.adam(param.as<float>(), grad.as<float>(), m.as<float>(), v.as<float>(), param.cols,
                adam_constants(scalars, clip_factor));
}

template class CpuBackend<float>;
template class CpuBackend<BFloat16>;

std::unique_ptr<Backend> make_cpu_backend(int64_t d_in, int64_t d_sae, DType low, int threads,
                                          const std::string& isa) {
  const Kernels& kernels = isa.empty() ? best_kernels() : kernels_for(isa);
  if (low == DType::bf16) return std::make_unique<CpuBackend<BFloat16>>(d_in, d_sae, threads, kernels);
  ensure(low == DType::f32, "the cpu backend computes in f32 or bf16");
  return std::make_unique<CpuBackend<float>>(d_in, d_sae, threads, kernels);
}

}  // namespace saemill
