#include "engine/backend/cuda/latents.cuh"

#include <algorithm>

#include "common/base/error.h"
#include "engine/gpu/launch.h"

namespace saemill::gpu {
namespace {

// Cuts the caller's scratch into parts; without memory it only counts.
class Cutter {
 public:
  explicit Cutter(void* memory) : memory_(static_cast<std::byte*>(memory)) {}
  template <typename T>
  T* take(int64_t count) {
    const size_t at = bytes_;
    bytes_ += static_cast<size_t>(round_up(count * static_cast<int64_t>(sizeof(T)), 256));
    return memory_ == nullptr ? nullptr : reinterpret_cast<T*>(memory_ + at);
  }
  size_t bytes() const { return bytes_; }

 private:
  std::byte* memory_;
  size_t bytes_ = 0;
};

int64_t encoder_slabs(int64_t n) {
  return ceil_div(n, kEncoderSlab);
}

PieceSums cut_pieces(Cutter& cutter, int64_t pieces, int64_t n) {
  return {cutter.take<float>(pieces * n), cutter.take<float>(pieces * n), cutter.take<float>(pieces)};
}

LatentScratch cut(Cutter& cutter, int64_t latents, int64_t n, int64_t pieces, int64_t aux_pieces) {
  LatentScratch scratch;
  scratch.enc_squares = cutter.take<double>(ceil_div(latents, kBlock) * encoder_slabs(n));
  scratch.dec_squares = cutter.take<double>(latents);
  scratch.pieces = cut_pieces(cutter, pieces, n);
  scratch.aux_pieces = cut_pieces(cutter, aux_pieces, n);
  return scratch;
}

int64_t pieces_of(const LatentCodes& codes) {
  return codes.groups.offsets == nullptr ? 0 : codes.pieces;
}

// Four columns in a thread: `groups` times, in whole warps.
int threads_for_row(int64_t n, int64_t groups) {
  return static_cast<int>(std::min<int64_t>(round_up(ceil_div(n, 4 * groups), kLanes), kDecoderThreads));
}

template <typename Low, bool kAligned>
void sum_pieces(const LatentArguments<Low>& a, const LatentScratch& scratch, const Stream& stream) {
  const int64_t slabs = 2 * piece_slabs(a.n);
  launch(stream, "piece_sums", piece_sums_kernel<Low, kAligned>, {{pieces_of(a.codes), slabs}, kPieceThreads},
         a.codes, a.centered, a.residual, a.n, scratch.pieces);
  launch(stream, "piece_sums", piece_sums_kernel<Low, kAligned>, {{pieces_of(a.aux), slabs}, kPieceThreads},
         a.aux, a.centered, a.aux_residual, a.n, scratch.aux_pieces);
}

template <typename Low, bool kAligned>
void update_encoder(const LatentArguments<Low>& a, const LatentScratch& scratch, const Stream& stream) {
  const int64_t slabs = encoder_slabs(a.n);
  launch(stream, "encoder_rows", encoder_rows_kernel<Low, kAligned>,
         {{ceil_div(a.last - a.first, kBlock) * slabs}, kEncoderThreads}, a, scratch,
         static_cast<int>(slabs));
}

template <typename Low>
void update_decoder(const LatentArguments<Low>& a, const LatentScratch& scratch, const Stream& stream) {
  const int64_t latents = a.last - a.first, n = a.n;
  const Grid wide{{latents}, threads_for_row(n, 1), static_cast<size_t>(n) * sizeof(float)};
  if (n % 4 != 0)
    launch(stream, "decoder_rows", wide_decoder_rows_kernel<Low, false>, wide, a, scratch);
  else if (n <= int64_t{4} * 2 * kDecoderThreads)
    launch(stream, "decoder_rows", decoder_rows_kernel<Low, 2>, {{latents}, threads_for_row(n, 2)}, a,
           scratch);
  else if (n <= int64_t{4} * 4 * kDecoderThreads)
    launch(stream, "decoder_rows", decoder_rows_kernel<Low, 4>, {{latents}, threads_for_row(n, 4)}, a,
           scratch);
  else
    launch(stream, "decoder_rows", wide_decoder_rows_kernel<Low, true>, wide, a, scratch);
}

}  // namespace

size_t latent_scratch_bytes(int64_t latents, int64_t n, int64_t pieces, int64_t aux_pieces) {
  Cutter cutter(nullptr);
  cut(cutter, latents, n, pieces, aux_pieces);
  return cutter.bytes();
}

template <typename Low>
void update_latents(const LatentArguments<Low>& arguments, void* memory, const Stream& stream) {
  LatentArguments<Low> a = arguments;
  ensure(a.first % kBlock == 0, "latents are updated in whole blocks");
  ensure(a.pass != RowPass::accumulate || a.stored.W_enc != nullptr, "gradients have no place");
  if constexpr (std::is_same_v<Low, float>) {
    if (a.low_encoder == a.weights.W_enc) a.low_encoder = nullptr;
    if (a.low_decoder == a.weights.W_dec) a.low_decoder = nullptr;
  }
  Cutter cutter(memory);
  const int64_t latents = a.last - a.first;
  const LatentScratch scratch = cut(cutter, latents, a.n, pieces_of(a.codes), pieces_of(a.aux));
  if (a.n % 4 == 0) {
    sum_pieces<Low, true>(a, scratch, stream);
    update_encoder<Low, true>(a, scratch, stream);
  } else {
    sum_pieces<Low, false>(a, scratch, stream);
    update_encoder<Low, false>(a, scratch, stream);
  }
  update_decoder(a, scratch, stream);
  if (a.pass == RowPass::accumulate || a.block_norms == nullptr) return;
  launch(stream, "block_norms", block_norms_kernel,
         {{ceil_div(ceil_div(latents, kBlock), kEncoderWarps)}, kEncoderThreads}, scratch, latents,
         static_cast<int>(encoder_slabs(a.n)), a.block_norms + a.first / kBlock);
}

template void update_latents<float>(const LatentArguments<float>&, void*, const Stream&);
template void update_latents<BFloat16>(const LatentArguments<BFloat16>&, void*, const Stream&);

}  // namespace saemill::gpu
