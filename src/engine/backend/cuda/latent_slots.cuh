// Sums over the slots of one latent: factor times a row of the batch, for some columns. Also the sums over
// pieces of long segments, by blocks of their own, so that a latent that many activations hit does not keep
// one block busy after all others are done.
#pragma once

#include "engine/backend/cuda/block_reduce.cuh"
#include "engine/backend/cuda/latents.h"
#include "engine/backend/cuda/raw_columns.cuh"

namespace saemill::gpu {

// Sums over the slots of each piece, and what each row adds to the norm of the gradient.
struct PieceSums {
  float* enc = nullptr;   // [pieces, n]
  float* dec = nullptr;   // [pieces, n]
  float* bias = nullptr;  // [pieces]
};
constexpr int kFourColumns = kLanes * 4;  // of a warp that has four columns per lane

// Slots whose loads are under way together: as many as registers allow beside a row with its moments.
template <typename Low>
constexpr int kBatchSlots = 8 / RawColumns<Low, 4>::kWords;

// Slots of positions [first, end), one in each lane: kept from one latent to the next where they follow each
// other, because slot, factor and row are three loads that wait for each other.
struct SlotWindow {
  int first = 0, end = 0;
  int32_t row = 0;
  float factor = 0;

  // From `at` on, but none from `limit` on.
  __device__ void move(const LatentCodes& codes, const float* factors, int at, int limit) {
    first = at;
    end = min(at + kLanes, limit);
    row = 0;
    factor = 0;
    if (lane_index() >= end - first) return;
    const int32_t position = codes.groups.positions[first + lane_index()];
    row = position / codes.slots;
    factor = factors[position];
  }
};

// What the sums of one latent after another have in common.
template <typename Low>
struct SlotRows {
  const LatentCodes& codes;
  const float* factors;  // [rows, slots]
  const Low* rows;       // [rows, n]
  int n;
};

// sum += factor[slot] * rows[row of slot] over the slots positions[begin, end), for columns column + g *
// stride and the three after. Returns the sum of the factors, spread over the lanes. The window moves on
// where it must, to no slot from `limit` on; its lanes pass the slots round, kBatch at a time (a power of
// two, at most 32). What a batch lacks at the end is another slot's row times 0.
template <bool kAligned, int kBatch, int kGroups, typename Low>
__device__ inline float add_slots(const SlotRows<Low>& from, SlotWindow& window, int begin, int end,
                                  int limit, int column, int stride, Four (&sum)[kGroups]) {
  float total = 0;
  for (int at = begin; at < end;) {
    if (at >= window.end) window.move(from.codes, from.factors, at, limit);
    const int offset = at - window.first, count = min(end, window.end) - at;
    if (lane_index() >= offset && lane_index() < offset + count) total += window.factor;
    for (int s = 0; s < count; s += kBatch) {
      const Low* row[kBatch];
      float factor[kBatch];
#pragma unroll
      for (int u = 0; u < kBatch; ++u) {
        row[u] = from.rows + int64_t{__shfl_sync(kAllLanes, window.row, offset + s + u)} * from.n;
        factor[u] = __shfl_sync(kAllLanes, window.factor, offset + s + u);
        if (s + u >= count) factor[u] = 0;
      }
      RawColumns<Low, 4> values[kBatch][kGroups];
#pragma unroll
      for (int u = 0; u < kBatch; ++u)
#pragma unroll
        for (int g = 0; g < kGroups; ++g)
          values[u][g] = load_raw<kAligned, 4>(row[u], column + g * stride, from.n);
#pragma unroll
      for (int u = 0; u < kBatch; ++u)
#pragma unroll
        for (int g = 0; g < kGroups; ++g) add_scaled(sum[g], factor[u], values[u][g]);
    }
    at += count;
  }
#pragma unroll
  for (int g = 0; g < kGroups; ++g)
    if (column + g * stride >= from.n) sum[g] = {};  // what load_raw gave there is another's
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
  __device__ Segment of_lane(int lane) const {
    return {__shfl_sync(kAllLanes, begin, lane), __shfl_sync(kAllLanes, end, lane),
            __shfl_sync(kAllLanes, piece, lane)};
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
__device__ inline float add_segment(const SlotRows<Low>& from, SlotWindow& window, const Segment& segment,
                                    int limit, const float* piece_rows, const float* piece_totals, int column,
                                    int stride, Four (&sum)[kGroups]) {
  if (segment.piece < 0)
    return add_slots<kAligned, kBatchSlots<Low>>(from, window, segment.begin, segment.end, limit, column,
                                                 stride, sum);
  float total = 0;
  for (int64_t p = segment.piece, end = p + segment.pieces(); p < end; ++p) {
#pragma unroll
    for (int g = 0; g < kGroups; ++g)
      add_scaled(sum[g], 1.0f, load_four<kAligned>(piece_rows + p * from.n, column + g * stride, from.n));
    if (piece_totals != nullptr && lane_index() == 0) total += piece_totals[p];
  }
  return total;
}

constexpr int kPieceThreads = 128;
constexpr int kPieceColumns = kPieceThreads / kLanes * kFourColumns;

// Blocks of one matrix over n columns.
constexpr int64_t piece_slabs(int64_t n) {
  return ceil_div(n, int64_t{kPieceColumns});
}

// Block (p, y): kPieceColumns columns of piece p; of the encoder's sum, or from y = piece_slabs(n) on of the
// decoder's, so that neither waits for the other.
template <typename Low, bool kAligned>
__global__ void __launch_bounds__(kPieceThreads, 8)
    piece_sums_kernel(LatentCodes codes, const Low* __restrict__ centered, const Low* __restrict__ residual,
                      int64_t columns, PieceSums out) {
  const int64_t piece = blockIdx.x;
  const int32_t latent = codes.groups.piece_latent[piece];
  if (latent < 0) return;
  const int n = static_cast<int>(columns), slabs = static_cast<int>(gridDim.y) / 2;
  const int slab = static_cast<int>(blockIdx.y) % slabs;
  const bool decoder = static_cast<int>(blockIdx.y) >= slabs;
  const int column = slab * kPieceColumns + static_cast<int>(threadIdx.x) * 4;
  const int begin = codes.groups.piece_begin[piece];
  const int end = static_cast<int>(min(begin + kPieceSlots, codes.groups.offsets[latent + 1]));
  const SlotRows<Low> from{codes, decoder ? codes.value : codes.grad, decoder ? residual : centered, n};
  Four sum[1] = {};
  SlotWindow window;
  const float total =
      add_slots<kAligned, 2 * kBatchSlots<Low>>(from, window, begin, end, end, column, 0, sum);
  store_four<kAligned>((decoder ? out.dec : out.enc) + piece * n, column, n, sum[0]);
  if (decoder || slab > 0) return;
  const float bias = warp_sum(total);
  if (threadIdx.x == 0) out.bias[piece] = bias;
}

}  // namespace saemill::gpu
