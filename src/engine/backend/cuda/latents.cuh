// Gradients and update of latent rows. Per weight Adam reads and writes 12 bytes and writes a low copy, once;
// all else is small beside it, except where latents are hit often.
//
// The two matrices are updated by two kernels, because all they share is the list of slots. The encoder needs
// no sum over a row, so a warp takes 128 columns of a latent, then of the next one: no barriers, and a hot
// latent's work is spread over as many warps as the row has slabs of 128 columns. A decoder row needs sums
// over all of it (projection, norm), so a block takes a row and keeps it in registers.
//
// A latent of more than kPieceSlots slots was summed by pieces before (latent_slots.cuh).
#pragma once

#include "engine/backend/cuda/adam.cuh"
#include "engine/backend/cuda/latent_slots.cuh"

namespace saemill::gpu {

// What passes between the kernels.
struct LatentScratch {
  PieceSums pieces{}, aux_pieces{};
  double* enc_squares = nullptr;  // [blocks, encoder slabs]
  double* dec_squares = nullptr;  // [latents]
};

constexpr int kEncoderThreads = 256;
constexpr int kEncoderWarps = kEncoderThreads / kLanes;
constexpr int kEncoderGroups = 1;
constexpr int kEncoderSlab = kEncoderGroups * kFourColumns;  // columns of a block
constexpr int kLatentsOfWarp = static_cast<int>(kBlock) / kEncoderWarps;

// Four columns of a row with its moments: loaded early, so that they come while slots are added up.
struct Weights {
  Four w, m, v;
};
template <bool kAligned>
__device__ inline Weights load_weights(const float* w, const float* m, const float* v, int column, int n) {
  return {load_four<kAligned, Reuse::never>(w, column, n), load_four<kAligned, Reuse::never>(m, column, n),
          load_four<kAligned, Reuse::never>(v, column, n)};
}

// The update of W_enc and b_enc, for the columns of one lane.
template <typename Low, bool kAligned>
struct EncoderLane {
  const LatentArguments<Low>& a;
  const LatentScratch& scratch;
  int n, column;
  bool first_slab;  // one of the slabs does what is done once per latent
  Four sums[kEncoderGroups] = {};
  double squares = 0;

  __device__ int at(int g) const { return column + g * kFourColumns; }

  __device__ float gradient(int64_t i, Four (&enc)[kEncoderGroups]) const {
    float bias = 0;
    if (a.stored.W_enc != nullptr) {
#pragma unroll
      for (int g = 0; g < kEncoderGroups; ++g)
        enc[g] = load_four<kAligned, Reuse::never>(a.stored.W_enc + i * n, at(g), n);
      // In the accumulate pass the first slab writes it, so no other may read it.
      if (lane_index() == 0 && (first_slab || a.pass != RowPass::accumulate)) bias = a.stored.b_enc[i];
    }
    const Segment own = segment_of(a.codes, i);
    if (first_slab && lane_index() == 0 && a.last_fired != nullptr && !own.empty())
      a.last_fired[a.first + i] = a.step->now;
    bias += add_segment<kAligned>(a.codes, a.codes.grad, own, scratch.pieces.enc, scratch.pieces.bias,
                                  a.centered, n, column, kFourColumns, enc);
    bias += add_segment<kAligned>(a.aux, a.aux.grad, segment_of(a.aux, i), scratch.aux_pieces.enc,
                                  scratch.aux_pieces.bias, a.centered, n, column, kFourColumns, enc);
    return warp_sum(bias);
  }

  __device__ void update(int64_t j, const Four (&enc)[kEncoderGroups], float bias,
                         Weights (&row)[kEncoderGroups]) const {
#pragma unroll
    for (int g = 0; g < kEncoderGroups; ++g) {
#pragma unroll
      for (int c = 0; c < 4; ++c) adam_element(row[g].w[c], enc[g][c], row[g].m[c], row[g].v[c], *a.adam);
      store_four<kAligned, Reuse::never>(a.weights.W_enc + j * n, at(g), n, row[g].w);
      store_four<kAligned, Reuse::never>(a.m.W_enc + j * n, at(g), n, row[g].m);
      store_four<kAligned, Reuse::never>(a.v.W_enc + j * n, at(g), n, row[g].v);
      if (a.low_encoder != nullptr) store_four<kAligned>(a.low_encoder + j * n, at(g), n, row[g].w);
    }
    if (first_slab && lane_index() == 0)
      adam_element(a.weights.b_enc[j], bias, a.m.b_enc[j], a.v.b_enc[j], *a.adam);
  }

  __device__ void latent(int64_t i) {
    const int64_t j = a.first + i;
    Four enc[kEncoderGroups] = {};
    Weights row[kEncoderGroups] = {};
    if (a.pass == RowPass::apply) {
#pragma unroll
      for (int g = 0; g < kEncoderGroups; ++g)
        row[g] =
            load_weights<kAligned>(a.weights.W_enc + j * n, a.m.W_enc + j * n, a.v.W_enc + j * n, at(g), n);
    }
    const float bias = gradient(i, enc);
    if (a.pass == RowPass::accumulate) {
#pragma unroll
      for (int g = 0; g < kEncoderGroups; ++g)
        store_four<kAligned, Reuse::never>(a.stored.W_enc + i * n, at(g), n, enc[g]);
      if (first_slab && lane_index() == 0) a.stored.b_enc[i] = bias;
      return;
    }
    float row_squares = 0;
#pragma unroll
    for (int g = 0; g < kEncoderGroups; ++g) {
      row_squares += dot_four(enc[g], enc[g]);
      if (bias == 0.0f || a.block_sums == nullptr) continue;
      if (a.pass == RowPass::norm) row[g].w = load_four<kAligned>(a.weights.W_enc + j * n, at(g), n);
      add_scaled(sums[g], bias, row[g].w);
    }
    squares += static_cast<double>(row_squares);
    if (first_slab && lane_index() == 0) squares += static_cast<double>(bias) * static_cast<double>(bias);
    if (a.pass == RowPass::apply) update(j, enc, bias, row);
  }
};

// Adds up what the warps of the block found, in their order.
template <bool kAligned, typename Low>
__device__ inline void write_encoder_sums(const LatentArguments<Low>& a, const Four (&sums)[kEncoderGroups],
                                          double squares, int64_t block, int slab, double* squares_out) {
  SAEMILL_SHARED(Four, partial, kEncoderThreads * kEncoderGroups);
  const int slab_threads = kEncoderSlab / 4, lane = lane_index();
#pragma unroll
  for (int g = 0; g < kEncoderGroups; ++g) partial[warp_index() * slab_threads + g * kLanes + lane] = sums[g];
  squares = block_sum(squares);  // and a barrier
  if (threadIdx.x == 0) *squares_out = squares;
  if (static_cast<int>(threadIdx.x) >= slab_threads || a.block_sums == nullptr) return;
  Four sum{};
  for (int warp = 0; warp < kEncoderWarps; ++warp)
    add_scaled(sum, 1.0f, partial[warp * slab_threads + static_cast<int>(threadIdx.x)]);
  const int n = static_cast<int>(a.n), column = slab * kEncoderSlab + static_cast<int>(threadIdx.x) * 4;
  store_four<kAligned>(a.block_sums + (a.first / kBlock + block) * n, column, n, sum);
}

// A block has kBlock latents and one slab of columns; a warp has kLatentsOfWarp of the latents.
template <typename Low, bool kAligned>
__global__ void __launch_bounds__(kEncoderThreads, 4)
    encoder_rows_kernel(LatentArguments<Low> a, LatentScratch scratch, int slabs) {
  const int slab = static_cast<int>(blockIdx.x) % slabs;
  const int64_t block = blockIdx.x / static_cast<unsigned>(slabs);
  EncoderLane<Low, kAligned> lane{a, scratch, static_cast<int>(a.n), slab * kEncoderSlab + lane_index() * 4,
                                  slab == 0};
  const int64_t begin = block * kBlock + warp_index() * kLatentsOfWarp;
  const int64_t end = min(begin + kLatentsOfWarp, a.last - a.first);
  for (int64_t i = begin; i < end; ++i) lane.latent(i);
  if (a.pass != RowPass::accumulate)
    write_encoder_sums<kAligned>(a, lane.sums, lane.squares, block, slab, scratch.enc_squares + blockIdx.x);
}

constexpr int kDecoderThreads = 512;

// What a thread has of a decoder row: kGroups times four columns, blockDim.x * 4 apart. `sum` starts as the
// stored gradient.
template <bool kAligned, int kGroups, typename Low>
__device__ inline void decoder_gradient(const LatentArguments<Low>& a, const LatentScratch& scratch,
                                        int64_t i, const Segment& own, const Segment& aux, int column,
                                        int stride, Four (&sum)[kGroups]) {
  const int n = static_cast<int>(a.n);
#pragma unroll
  for (int g = 0; g < kGroups; ++g)
    sum[g] = a.stored.W_dec == nullptr
                 ? Four{}
                 : load_four<kAligned, Reuse::never>(a.stored.W_dec + i * n, column + g * stride, n);
  add_segment<kAligned>(a.codes, a.codes.value, own, scratch.pieces.dec, nullptr, a.residual, n, column,
                        stride, sum);
  add_segment<kAligned>(a.aux, a.aux.value, aux, scratch.aux_pieces.dec, nullptr, a.aux_residual, n, column,
                        stride, sum);
}

template <typename Low>
__device__ inline bool has_gradient(const LatentArguments<Low>& a, const Segment& own, const Segment& aux) {
  return a.stored.W_dec != nullptr || !own.empty() || !aux.empty();
}

__device__ inline float inverse_length(bool unit_norm, float squares) {
  return unit_norm && squares > 0 ? 1.0f / __fsqrt_rn(squares) : 1.0f;
}

// A block has a row, in registers: 16 kGroups of them per thread for gradient, weight and moments, which are
// loaded before the slots are added up. With two groups a thread fits in 64 registers, so that a
// multiprocessor has 1024 threads, each with six 16-byte loads under way. n is a multiple of 4.
template <typename Low, int kGroups>
__global__ void __launch_bounds__(kDecoderThreads, kGroups <= 2 ? 2 : 1)
    decoder_rows_kernel(LatentArguments<Low> a, LatentScratch scratch) {
  const int64_t i = blockIdx.x, j = a.first + i;
  const int n = static_cast<int>(a.n), column = static_cast<int>(threadIdx.x) * 4;
  const int stride = static_cast<int>(blockDim.x) * 4;
  const Segment own = segment_of(a.codes, i), aux = segment_of(a.aux, i);
  const bool moves = has_gradient(a, own, aux);  // the same in all threads
  Weights row[kGroups] = {};
  Four dec[kGroups];
#pragma unroll
  for (int g = 0; g < kGroups; ++g) {
    if (a.pass == RowPass::apply)
      row[g] = load_weights<true>(a.weights.W_dec + j * n, a.m.W_dec + j * n, a.v.W_dec + j * n,
                                  column + g * stride, n);
    if (a.pass == RowPass::norm) row[g].w = load_four<true>(a.weights.W_dec + j * n, column + g * stride, n);
  }
  decoder_gradient<true>(a, scratch, i, own, aux, column, stride, dec);
  if (a.pass == RowPass::accumulate) {
#pragma unroll
    for (int g = 0; g < kGroups; ++g)
      store_four<true, Reuse::never>(a.stored.W_dec + i * n, column + g * stride, n, dec[g]);
    return;
  }
  if (moves && a.unit_norm) {
    float parallel = 0;
#pragma unroll
    for (int g = 0; g < kGroups; ++g) parallel += dot_four(dec[g], row[g].w);
    parallel = block_sum(parallel);
#pragma unroll
    for (int g = 0; g < kGroups; ++g) add_scaled(dec[g], -parallel, row[g].w);
  }
  float squares[2] = {0, 0};  // of the gradient, and of the new weights
#pragma unroll
  for (int g = 0; g < kGroups; ++g) {
    squares[0] += dot_four(dec[g], dec[g]);
    if (a.pass == RowPass::norm) continue;
#pragma unroll
    for (int c = 0; c < 4; ++c) adam_element(row[g].w[c], dec[g][c], row[g].m[c], row[g].v[c], *a.adam);
    store_four<true, Reuse::never>(a.m.W_dec + j * n, column + g * stride, n, row[g].m);
    store_four<true, Reuse::never>(a.v.W_dec + j * n, column + g * stride, n, row[g].v);
    squares[1] += dot_four(row[g].w, row[g].w);
  }
  block_sum(squares);
  if (threadIdx.x == 0) scratch.dec_squares[i] = static_cast<double>(squares[0]);
  if (a.pass == RowPass::norm) return;
  const float inverse = inverse_length(a.unit_norm, squares[1]);
#pragma unroll
  for (int g = 0; g < kGroups; ++g) {
#pragma unroll
    for (int c = 0; c < 4; ++c) row[g].w[c] *= inverse;
    store_four<true, Reuse::never>(a.weights.W_dec + j * n, column + g * stride, n, row[g].w);
    if (a.low_decoder != nullptr) store_four<true>(a.low_decoder + j * n, column + g * stride, n, row[g].w);
  }
}

// The same for rows that do not fit in registers or are not aligned: the gradient is in shared memory, and
// weights are read three times.
template <typename Low, bool kAligned>
__global__ void __launch_bounds__(kDecoderThreads)
    wide_decoder_rows_kernel(LatentArguments<Low> a, LatentScratch scratch) {
  const int64_t i = blockIdx.x, j = a.first + i;
  const int n = static_cast<int>(a.n), stride = static_cast<int>(blockDim.x) * 4;
  float* dec = dynamic_shared<float>(0, static_cast<size_t>(n));
  float *w = a.weights.W_dec + j * n, *m = a.m.W_dec + j * n, *v = a.v.W_dec + j * n;
  const Segment own = segment_of(a.codes, i), aux = segment_of(a.aux, i);
  float parallel = 0;
  for (int first = warp_index() * kFourColumns; first < n; first += stride) {
    const int column = first + lane_index() * 4;
    Four sum[1];
    decoder_gradient<kAligned>(a, scratch, i, own, aux, column, 0, sum);
    float* to = a.pass == RowPass::accumulate ? a.stored.W_dec + i * n : dec;
    store_four<kAligned>(to, column, n, sum[0]);
    if (a.pass != RowPass::accumulate && a.unit_norm)
      parallel += dot_four(sum[0], load_four<kAligned>(w, column, n));
  }
  if (a.pass == RowPass::accumulate) return;
  parallel = block_sum(parallel);
  float squares[2] = {0, 0};
  for (int column = static_cast<int>(threadIdx.x) * 4; column < n; column += stride) {
    Weights row{load_four<kAligned>(w, column, n), {}, {}};
    Four gradient = load_four<kAligned>(dec, column, n);
    add_scaled(gradient, -parallel, row.w);
    squares[0] += dot_four(gradient, gradient);
    if (a.pass == RowPass::norm) continue;
    row = load_weights<kAligned>(w, m, v, column, n);
    for (int c = 0; c < 4; ++c) adam_element(row.w[c], gradient[c], row.m[c], row.v[c], *a.adam);
    store_four<kAligned>(w, column, n, row.w);
    store_four<kAligned>(m, column, n, row.m);
    store_four<kAligned>(v, column, n, row.v);
    squares[1] += dot_four(row.w, row.w);
  }
  block_sum(squares);
  if (threadIdx.x == 0) scratch.dec_squares[i] = static_cast<double>(squares[0]);
  if (a.pass == RowPass::norm) return;
  const float inverse = inverse_length(a.unit_norm, squares[1]);
  for (int column = static_cast<int>(threadIdx.x) * 4; column < n; column += stride) {
    Four row = load_four<kAligned>(w, column, n);
    for (int c = 0; c < 4; ++c) row[c] *= inverse;
    store_four<kAligned>(w, column, n, row);
    if (a.low_decoder != nullptr) store_four<kAligned>(a.low_decoder + j * n, column, n, row);
  }
}

// A warp adds up one block of latents.
__global__ void __launch_bounds__(kEncoderThreads)
    block_norms_kernel(LatentScratch scratch, int64_t latents, int slabs, double* __restrict__ out) {
  const int64_t block = int64_t{blockIdx.x} * kEncoderWarps + warp_index();
  if (block * kBlock >= latents) return;
  double sum = 0;
  for (int64_t i = block * kBlock + lane_index(); i < min(block * kBlock + kBlock, latents); i += kLanes)
    sum += scratch.dec_squares[i];
  for (int slab = lane_index(); slab < slabs; slab += kLanes)
    sum += scratch.enc_squares[block * slabs + slab];
  sum = warp_sum(sum);
  if (lane_index() == 0) out[block] = sum;
}

}  // namespace saemill::gpu
