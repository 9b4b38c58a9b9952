// Sums over the slots of one latent: factor times a row of the batch, for some columns. Also the sums over
// pieces of long segments, by blocks of their own, so that a latent that many activations hit does not keep
// one block busy after all others are done.
#pragma once

#include "engine/backend/cuda/block_reduce.cuh"
#include "engine/backend/cuda/latents.h"

namespace saemill::gpu {

// Sums over the slots of each piece, and what each row adds to the norm of the gradient.
struct PieceSums {
  float* enc = nullptr;   // [pieces, n]
  float* dec = nullptr;   // [pieces, n]
  float* bias = nullptr;  // [pieces]
};
constexpr int kFourColumns = kLanes * 4;  // of a warp that has four columns per lane

// Slots whose loads are under way together: as many as registers allow beside what a group of columns keeps.
template <int kGroups>
constexpr int kBatchSlots = kGroups == 1 ? 4 : 2;

// sum += factor[slot] * rows[row of slot] over the slots positions[begin, end), for columns column + g *
// stride and the three after. Returns the sum of the factors, spread over the lanes. The warp loads 32 slots,
// each lane one, and passes them round.
template <bool kAligned, int kGroups, typename Low>
__device__ inline float add_slots(const LatentCodes& codes, const float* factors, int begin, int end,
                                  const Low* rows, int n, int column, int stride, Four (&sum)[kGroups]) {
  float total = 0;
  for (int first = begin; first < end; first += kLanes) {
    const int count = min(end - first, kLanes);
    int32_t my_row = 0;
    float my_factor = 0;
    if (lane_index() < count) {
      const int32_t position = codes.groups.positions[first + lane_index()];
      my_row = position / codes.slots;
      my_factor = factors[position];
    }
    total += my_factor;
    for (int s = 0; s < count; s += kBatchSlots<kGroups>) {
      Four values[kBatchSlots<kGroups>][kGroups];
#pragma unroll
      for (int u = 0; u < kBatchSlots<kGroups>; ++u) {
        const Low* row = rows + int64_t{__shfl_sync(kAllLanes, my_row, s + u)} * n;
#pragma unroll
        for (int g = 0; g < kGroups; ++g)
          values[u][g] = s + u < count ? load_four<kAligned>(row, column + g * stride, n) : Four{};
      }
#pragma unroll
      for (int u = 0; u < kBatchSlots<kGroups>; ++u) {
        const float factor = __shfl_sync(kAllLanes, my_factor, s + u);
#pragma unroll
        for (int g = 0; g < kGroups; ++g) add_scaled(sum[g], factor, values[u][g]);
      }
    }
  }
  return total;
}

// Which slots a latent has, and where they are split the number of the first piece.
struct Segment {
  int begin = 0, end = 0;
  int piece = -1;
  __device__ bool empty() const { return end == begin; }
  __device__ int pieces() const {
    return piece < 0 ? 0 : (end - begin + static_cast<int>(kPieceSlots) - 1) / static_cast<int>(kPieceSlots);
  }
};

__device__ inline Segment segment_of(const LatentCodes& codes, int64_t latent) {
  if (codes.groups.offsets == nullptr) return {};
  // There are no more slots than positions of 32 bits can tell apart.
  return {static_cast<int>(codes.groups.offsets[latent]), static_cast<int>(codes.groups.offsets[latent + 1]),
          codes.groups.first_piece[latent]};
}

// add_slots for a whole segment. `piece_rows` [pieces, n] and `piece_totals` [pieces] (or null) are the sums
// of its pieces.
template <bool kAligned, int kGroups, typename Low>
__device__ inline float add_segment(const LatentCodes& codes, const float* factors, const Segment& segment,
                                    const float* piece_rows, const float* piece_totals, const Low* rows,
                                    int n, int column, int stride, Four (&sum)[kGroups]) {
  if (segment.piece < 0)
    return add_slots<kAligned>(codes, factors, segment.begin, segment.end, rows, n, column, stride, sum);
  float total = 0;
  for (int64_t p = segment.piece, end = p + segment.pieces(); p < end; ++p) {
#pragma unroll
    for (int g = 0; g < kGroups; ++g)
      add_scaled(sum[g], 1.0f, load_four<kAligned>(piece_rows + p * n, column + g * stride, n));
    if (piece_totals != nullptr && lane_index() == 0) total += piece_totals[p];
  }
  return total;
}

constexpr int kPieceThreads = 128;
constexpr int kPieceColumns = kPieceThreads / kLanes * kFourColumns;

// Block (p, c): columns [c, c + 1) * kPieceColumns of piece p.
template <typename Low, bool kAligned>
__global__ void __launch_bounds__(kPieceThreads)
    piece_sums_kernel(LatentCodes codes, const Low* __restrict__ centered, const Low* __restrict__ residual,
                      int64_t columns, PieceSums out) {
  const int64_t piece = blockIdx.x;
  const int32_t latent = codes.groups.piece_latent[piece];
  if (latent < 0) return;
  const int n = static_cast<int>(columns);
  const int column = static_cast<int>(blockIdx.y) * kPieceColumns + static_cast<int>(threadIdx.x) * 4;
  const int begin = codes.groups.piece_begin[piece];
  const int end = static_cast<int>(min(begin + kPieceSlots, codes.groups.offsets[latent + 1]));
  Four enc[1] = {}, dec[1] = {};
  const float bias =
      warp_sum(add_slots<kAligned>(codes, codes.grad, begin, end, centered, n, column, 0, enc));
  add_slots<kAligned>(codes, codes.value, begin, end, residual, n, column, 0, dec);
  store_four<kAligned>(out.enc + piece * n, column, n, enc[0]);
  store_four<kAligned>(out.dec + piece * n, column, n, dec[0]);
  if (blockIdx.y == 0 && threadIdx.x == 0) out.bias[piece] = bias;
}

}  // namespace saemill::gpu
