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
constexpr int kEncoderBlocks = 3;           // on a multiprocessor: 80 registers for a thread
constexpr int kEncoderSlab = kFourColumns;  // columns of a block
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

// What a warp that updates encoder rows knows of its latents and their slots in one code.
struct WarpCode {
  Segment mine{};  // lane l: of the warp's l-th latent
  int limit = 0;   // slots of the last one end here
  SlotWindow window{};

  __device__ WarpCode(const LatentCodes& codes, int64_t begin, int count) {
    if (lane_index() < count) mine = segment_of(codes, begin + lane_index());
    limit = __shfl_sync(kAllLanes, mine.end, count - 1);
  }
};

// The update of W_enc and b_enc. A warp has `count` latents from `begin` on (counted from a.first), and four
// columns in each lane. What is one number for a latent is kept by a lane of its own, and read and written
// for all of them at once.
template <typename Low, bool kAligned>
struct EncoderWarp {
  const LatentArguments<Low>& a;
  const LatentScratch& scratch;
  int64_t begin;
  int count, n, column;
  bool first_slab;  // one of the slabs does what is done once per latent
  WarpCode codes, aux;
  float bias = 0;  // lane l: gradient of b_enc of the l-th latent
  Four sums = {};
  double squares = 0;

  __device__ EncoderWarp(const LatentArguments<Low>& arguments, const LatentScratch& memory, int64_t from,
                         int latents, int slab)
      : a(arguments),
        scratch(memory),
        begin(from),
        count(latents),
        n(static_cast<int>(arguments.n)),
        column(slab * kEncoderSlab + lane_index() * 4),
        first_slab(slab == 0),
        codes(arguments.codes, from, latents),
        aux(arguments.aux, from, latents) {
    if (lane_index() >= count) return;
    // In the accumulate pass the first slab writes it, so no other may read it.
    if (a.stored.b_enc != nullptr && (first_slab || a.pass != RowPass::accumulate))
      bias = a.stored.b_enc[begin + lane_index()];
    if (first_slab && a.last_fired != nullptr && !codes.mine.empty())
      a.last_fired[a.first + begin + lane_index()] = a.step->now;
  }

  // Gradient of the row; returns that of the bias. All lanes get it.
  __device__ float gradient(int l, Four (&enc)[1]) {
    if (a.stored.W_enc != nullptr)
      enc[0] = load_four<kAligned, Reuse::never>(a.stored.W_enc + (begin + l) * n, column, n);
    float total = add_segment<kAligned>(SlotRows<Low>{a.codes, a.codes.grad, a.centered, n}, codes.window,
                                        codes.mine.of_lane(l), codes.limit, scratch.pieces.enc,
                                        scratch.pieces.bias, column, 0, enc);
    total += add_segment<kAligned>(SlotRows<Low>{a.aux, a.aux.grad, a.centered, n}, aux.window,
                                   aux.mine.of_lane(l), aux.limit, scratch.aux_pieces.enc,
                                   scratch.aux_pieces.bias, column, 0, enc);
    return __shfl_sync(kAllLanes, bias, l) + warp_sum(total);
  }

  __device__ void update(int64_t j, const Four& enc, Weights& row) const {
#pragma unroll
    for (int c = 0; c < 4; ++c) adam_element(row.w[c], enc[c], row.m[c], row.v[c], *a.adam);
    store_four<kAligned, Reuse::never>(a.weights.W_enc + j * n, column, n, row.w);
    store_four<kAligned, Reuse::never>(a.m.W_enc + j * n, column, n, row.m);
    store_four<kAligned, Reuse::never>(a.v.W_enc + j * n, column, n, row.v);
    if (a.low_encoder != nullptr) store_four<kAligned>(a.low_encoder + j * n, column, n, row.w);
  }

  __device__ void latent(int l) {
    const int64_t j = a.first + begin + l;
    Four enc[1] = {};
    Weights row{};
    if (a.pass == RowPass::apply)
      row = load_weights<kAligned>(a.weights.W_enc + j * n, a.m.W_enc + j * n, a.v.W_enc + j * n, column, n);
    const float bias_gradient = gradient(l, enc);
    if (lane_index() == l) bias = bias_gradient;
    if (a.pass == RowPass::accumulate) {
      store_four<kAligned, Reuse::never>(a.stored.W_enc + (begin + l) * n, column, n, enc[0]);
      return;
    }
    squares += static_cast<double>(dot_four(enc[0], enc[0]));
    if (bias_gradient != 0.0f && a.block_sums != nullptr) {
      if (a.pass == RowPass::norm) row.w = load_four<kAligned>(a.weights.W_enc + j * n, column, n);
      add_scaled(sums, bias_gradient, row.w);
    }
    if (a.pass == RowPass::apply) update(j, enc[0], row);
  }

  // After all latents.
  __device__ void biases() {
    if (!first_slab || lane_index() >= count) return;
    const int64_t i = begin + lane_index(), j = a.first + i;
    if (a.pass == RowPass::accumulate) {
      a.stored.b_enc[i] = bias;
      return;
    }
    squares += static_cast<double>(bias) * static_cast<double>(bias);
    if (a.pass != RowPass::apply) return;
    float w = a.weights.b_enc[j], m = a.m.b_enc[j], v = a.v.b_enc[j];
    adam_element(w, bias, m, v, *a.adam);
    a.weights.b_enc[j] = w;
    a.m.b_enc[j] = m;
    a.v.b_enc[j] = v;
  }
};

// Adds up what the warps of the block found, in their order.
template <bool kAligned, typename Low>
__device__ inline void write_encoder_sums(const LatentArguments<Low>& a, const Four& sums, double squares,
                                          int64_t block, int slab, double* squares_out) {
  SAEMILL_SHARED(Four, partial, kEncoderThreads);
  partial[threadIdx.x] = sums;
  squares = block_sum(squares);  // and a barrier
  if (threadIdx.x == 0) *squares_out = squares;
  if (warp_index() != 0 || a.block_sums == nullptr) return;
  Four sum{};
  for (int warp = 0; warp < kEncoderWarps; ++warp)
    add_scaled(sum, 1.0f, partial[warp * kLanes + lane_index()]);
  const int n = static_cast<int>(a.n), column = slab * kEncoderSlab + lane_index() * 4;
  store_four<kAligned>(a.block_sums + (a.first / kBlock + block) * n, column, n, sum);
}

// A block has kBlock latents and one slab of columns; a warp has kLatentsOfWarp of the latents.
template <typename Low, bool kAligned>
__global__ void __launch_bounds__(kEncoderThreads, kEncoderBlocks)
    encoder_rows_kernel(LatentArguments<Low> a, LatentScratch scratch, int slabs) {
  const int slab = static_cast<int>(blockIdx.x) % slabs;
  const int64_t block = blockIdx.x / static_cast<unsigned>(slabs);
  const int64_t begin = block * kBlock + warp_index() * kLatentsOfWarp;
  const int count = static_cast<int>(min(int64_t{kLatentsOfWarp}, a.last - a.first - begin));
  Four sums = {};
  double squares = 0;
  if (count > 0) {
    EncoderWarp<Low, kAligned> warp(a, scratch, begin, count, slab);
    for (int l = 0; l < count; ++l) warp.latent(l);
    warp.biases();
    sums = warp.sums;
    squares = warp.squares;
  }
  if (a.pass != RowPass::accumulate)
    write_encoder_sums<kAligned>(a, sums, squares, block, slab, scratch.enc_squares + blockIdx.x);
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
  SlotWindow window, aux_window;
  add_segment<kAligned>(SlotRows<Low>{a.codes, a.codes.value, a.residual, n}, window, own, own.end,
                        scratch.pieces.dec, nullptr, column, stride, sum);
  add_segment<kAligned>(SlotRows<Low>{a.aux, a.aux.value, a.aux_residual, n}, aux_window, aux, aux.end,
                        scratch.aux_pieces.dec, nullptr, column, stride, sum);
}

template <typename Low>
__device__ inline bool has_gradient(const LatentArguments<Low>& a, const Segment& own, const Segment& aux) {
  return a.stored.W_dec != nullptr || !own.empty() || !aux.empty();
}

__device__ inline float inverse_length(bool unit_norm, float squares) {
  return unit_norm && squares > 0 ? 1.0f / __fsqrt_rn(squares) : 1.0f;
}

// A block has a row, in registers: 16 kGroups of them per thread for gradient, weight and moments. The latter
// are loaded after the slots are added up, whose loads need these registers. With two groups a thread fits in
// 64 registers, so that a multiprocessor has 1024 threads, each with eight loads of 8 bytes under way, then
// six of 16. n is a multiple of 4.
template <typename Low, int kGroups>
__global__ void __launch_bounds__(kDecoderThreads, kGroups <= 2 ? 2 : 1)
    decoder_rows_kernel(LatentArguments<Low> a, LatentScratch scratch) {
  const int64_t i = blockIdx.x, j = a.first + i;
  const int n = static_cast<int>(a.n), column = static_cast<int>(threadIdx.x) * 4;
  const int stride = static_cast<int>(blockDim.x) * 4;
  const Segment own = segment_of(a.codes, i), aux = segment_of(a.aux, i);
  const bool moves = has_gradient(a, own, aux);  // the same in all threads
  Four dec[kGroups];
  decoder_gradient<true>(a, scratch, i, own, aux, column, stride, dec);
  Weights row[kGroups] = {};
#pragma unroll
  for (int g = 0; g < kGroups; ++g) {
    if (a.pass == RowPass::apply)
      row[g] = load_weights<true>(a.weights.W_dec + j * n, a.m.W_dec + j * n, a.v.W_dec + j * n,
                                  column + g * stride, n);
    if (a.pass == RowPass::norm) row[g].w = load_four<true>(a.weights.W_dec + j * n, column + g * stride, n);
  }
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
