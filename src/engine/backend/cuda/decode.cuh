// One block decodes one row. It goes over the columns in slabs of one 16-byte access per lane. In a slab its
// warps share the slots: each adds up its part of x_hat, the parts are combined to the error of the slab, and
// the same decoder values, kept in registers, are multiplied with the error for the code gradient. So every
// decoder value is read from memory once, not twice. Slots beyond kHeld per warp are read again right
// away, mostly from the L1 cache.
#pragma once

#include "engine/backend/cuda/block_reduce.cuh"
#include "engine/backend/cuda/decode.h"
#include "engine/backend/cuda/raw_columns.cuh"

namespace saemill::gpu {

// Eight warps with eight 16-byte loads in flight per lane, and two such blocks, are 64 KB in flight on one
// multiprocessor: twice its share of the memory's bandwidth times its latency (about 30 KB). A third block
// would leave 80 registers per thread, which eight held slots of bf16 do not fit in.
constexpr int kDecodeThreads = 256;
constexpr int kDecodeWarps = kDecodeThreads / kLanes;

template <typename Low>
constexpr int kLowLanes = 16 / static_cast<int>(sizeof(Low));  // columns of a lane
template <typename Low>
constexpr int kSlab = kLanes* kLowLanes<Low>;  // columns of a warp; at most kDecodeThreads
template <typename Low>
using LowColumns = RawColumns<Low, kLowLanes<Low>>;

template <typename Low>
__device__ inline float dot_low(const LowColumns<Low>& values, const float* with) {
  float sum = 0;
#pragma unroll
  for (int i = 0; i < kLowLanes<Low>; ++i) sum += values[i] * with[i];
  return sum;
}

// The slots of a row that one warp has: warp, warp + kDecodeWarps, ... The first kHeld of them are kept in
// registers from the weighted sum to the dot products. Where there are fewer, those that are missing are row
// 0 times 0: a branch would keep the loads from going out together.
template <typename Low, int kHeld, bool kMore, bool kAligned>
struct WarpSlots {
  static constexpr int kRegisters = kHeld > 0 ? kHeld : 1;
  static constexpr int kBatch = 4;  // of the others, loaded together
  const int32_t* index;
  const float* value;
  const Low* decoder;
  int n;
  int own;                 // active slots of this warp
  float* dots;             // shared, one for each slot: sums so far of slots that are not held
  int32_t held_index = 0;  // lane h has those of held slot h
  float held_value = 0;
  LowColumns<Low> held[kRegisters];
  float held_dot[kRegisters];

  __device__ WarpSlots(const DecodeCodes& codes, int64_t row, int active, const Low* matrix, int columns,
                       float* shared_dots)
      : index(codes.index + row * codes.slots),
        value(codes.value + row * codes.slots),
        decoder(matrix),
        n(columns),
        own((active - warp_index() + kDecodeWarps - 1) / kDecodeWarps),
        dots(shared_dots) {
    if (lane_index() < kHeld && lane_index() < own) {
      held_index = index[slot(lane_index())];
      held_value = value[slot(lane_index())];
    }
#pragma unroll
    for (int h = 0; h < kHeld; ++h) held_dot[h] = 0;
  }

  __device__ static int slot(int mine) {
    return warp_index() + mine * kDecodeWarps;
  }

  __device__ LowColumns<Low> row_columns(int latent, int column) const {
    return load_raw<kAligned, kLowLanes<Low>>(decoder + int64_t{latent} * n, column, n);
  }

  // Calls visit(mine, value, decoder values) for the slots that are not held.
  template <typename Visit>
  __device__ void each_other(int column, Visit&& visit) const {
    for (int first = kHeld; kMore && first < own; first += kLanes) {
      const int count = min(own - first, kLanes);
      const bool mine = lane_index() < count;
      const int32_t my_index = mine ? index[slot(first + lane_index())] : 0;
      const float my_value = mine ? value[slot(first + lane_index())] : 0.0f;
      for (int s = 0; s < count; s += kBatch) {
        LowColumns<Low> values[kBatch];
#pragma unroll
        for (int u = 0; u < kBatch; ++u)
          values[u] = row_columns(__shfl_sync(kAllLanes, my_index, s + u), column);
#pragma unroll
        for (int u = 0; u < kBatch; ++u) {
          const float z = __shfl_sync(kAllLanes, my_value, s + u);
          if (s + u < count) visit(first + s + u, z, values[u]);
        }
      }
    }
  }

  __device__ void weighted_sum(int column, float (&sum)[kLowLanes<Low>]) {
#pragma unroll
    for (int i = 0; i < kLowLanes<Low>; ++i) sum[i] = 0;
#pragma unroll
    for (int h = 0; h < kHeld; ++h) {
      const int latent = __shfl_sync(kAllLanes, held_index, h);
      held[h] = row_columns(latent, column);
    }
    const auto add = [&](float z, const LowColumns<Low>& values) {
#pragma unroll
      for (int i = 0; i < kLowLanes<Low>; ++i) sum[i] += z * values[i];
    };
#pragma unroll
    for (int h = 0; h < kHeld; ++h) add(__shfl_sync(kAllLanes, held_value, h), held[h]);
    each_other(column, [&](int, float z, const LowColumns<Low>& values) { add(z, values); });
  }

  // `scaled`: the slab's error times its factor, of the lane's columns.
  __device__ void add_dots(int column, const float* scaled) {
    float with[kLowLanes<Low>];
#pragma unroll
    for (int i = 0; i < kLowLanes<Low>; ++i) with[i] = scaled[i];
#pragma unroll
    for (int h = 0; h < kHeld; ++h) held_dot[h] += dot_low<Low>(held[h], with);
    const bool begin = column < kSlab<Low>;
    each_other(column, [&](int mine, float, const LowColumns<Low>& values) {
      const float dot = warp_sum(dot_low<Low>(values, with));
      // One lane reads and writes a slot's sum, so no barrier is needed.
      if (lane_index() == 0) dots[slot(mine)] = begin ? dot : dots[slot(mine)] + dot;
    });
  }

  __device__ void write(float* grad, float l1) const {
#pragma unroll
    for (int h = 0; h < kHeld; ++h) {
      const float dot = warp_sum(held_dot[h]);
      if (lane_index() == 0 && h < own) grad[slot(h)] = dot + l1;
    }
    for (int mine = kHeld; kMore && lane_index() == 0 && mine < own; ++mine)
      grad[slot(mine)] = dots[slot(mine)] + l1;
  }
};

// How many slots of a row are active; all threads get it.
__device__ inline int active_slots(const DecodeCodes& codes, int64_t row) {
  int active = 0;
  for (int64_t first = 0; first < codes.slots; first += kDecodeThreads) {
    const int64_t s = first + threadIdx.x;
    active += __syncthreads_count(s < codes.slots && codes.value[row * codes.slots + s] > 0 ? 1 : 0);
  }
  return active;
}

__device__ inline void clear_unused(const DecodeCodes& codes, int64_t row, int active) {
  for (int64_t s = active + threadIdx.x; s < codes.slots; s += kDecodeThreads)
    codes.grad[row * codes.slots + s] = 0;
}

// Writes a warp's part of a slab's sum; after a barrier the threads of the slab add the parts up in order.
template <typename Low>
__device__ inline float combine_parts(float* parts, const float (&sum)[kLowLanes<Low>], float start) {
  float* mine = parts + warp_index() * kSlab<Low> + lane_index() * kLowLanes<Low>;
#pragma unroll
  for (int i = 0; i < kLowLanes<Low>; i += 4)
    store(mine + i, Vec<float, 4>{{sum[i], sum[i + 1], sum[i + 2], sum[i + 3]}});
  __syncthreads();
  if (threadIdx.x >= kSlab<Low>) return 0;
  for (int warp = 0; warp < kDecodeWarps; ++warp) start += parts[warp * kSlab<Low> + threadIdx.x];
  return start;
}

constexpr size_t decode_shared_floats(int slab, int64_t slots, int64_t aux_slots) {
  return static_cast<size_t>((kDecodeWarps + 1) * slab + slots + aux_slots);
}

// kMore: there may be more slots than kHeld per warp, or an auxiliary code.
template <typename Low, int kHeld, bool kMore, bool kAligned>
__global__ void __launch_bounds__(kDecodeThreads, kMore || kHeld * kLowLanes<Low> > 32 ? 2 : 3)
    decode_kernel(DecodeArguments<Low> a) {
  constexpr int kColumns = kSlab<Low>;
  const int64_t row = blockIdx.x;
  const int n = static_cast<int>(a.n);
  float* parts = dynamic_shared<float>(0, decode_shared_floats(kColumns, a.codes.slots, a.aux.slots));
  float* slab_error = parts + kDecodeWarps * kColumns;
  const bool with_aux = kMore && a.aux.slots > 0 && (a.aux_latents == nullptr || *a.aux_latents > 0);
  const int active = active_slots(a.codes, row), aux_active = with_aux ? active_slots(a.aux, row) : 0;
  float* dots = slab_error + kColumns;
  WarpSlots<Low, kHeld, kMore, kAligned> codes(a.codes, row, active, a.decoder, n, dots);
  WarpSlots<Low, 0, kMore, kAligned> aux(a.aux, row, aux_active, a.decoder, n, dots + a.codes.slots);
  const float* lane_error = slab_error + lane_index() * kLowLanes<Low>;
  double stats[3] = {0, 0, 0};  // squared error, sum of values, squared auxiliary error
  for (int first = 0; first < n; first += kColumns) {
    const int column = first + static_cast<int>(threadIdx.x),
              lane_column = first + lane_index() * kLowLanes<Low>;
    const bool inside = threadIdx.x < kColumns && column < n;
    const float x = inside ? a.x[row * n + column] : 0.0f, bias = inside ? a.b_dec[column] : 0.0f;
    float sum[kLowLanes<Low>];
    codes.weighted_sum(lane_column, sum);
    const float error = combine_parts<Low>(parts, sum, bias) - x;
    const auto emit = [&](float value, float factor, Low* out, double& squares) {
      if (inside) out[row * n + column] = to_low<Low>(factor * value);
      if (inside) squares += static_cast<double>(value) * static_cast<double>(value);
      if (threadIdx.x < kColumns) slab_error[threadIdx.x] = inside ? factor * value : 0.0f;
      __syncthreads();
    };
    emit(error, a.scale, a.residual, stats[0]);
    codes.add_dots(lane_column, lane_error);
    if (!with_aux) continue;
    aux.weighted_sum(lane_column, sum);
    const float aux_error = combine_parts<Low>(parts, sum, error);  // aux_hat - (x - x_hat)
    emit(aux_error, a.aux_scale, a.aux_residual, stats[2]);
    aux.add_dots(lane_column, lane_error);
  }
  codes.write(a.codes.grad + row * a.codes.slots, static_cast<float>(a.step->l1));
  clear_unused(a.codes, row, active);
  if (with_aux) aux.write(a.aux.grad + row * a.aux.slots, 0.0f);
  if (with_aux) clear_unused(a.aux, row, aux_active);
  for (int s = static_cast<int>(threadIdx.x); s < active; s += kDecodeThreads)
    stats[1] += static_cast<double>(a.codes.value[row * a.codes.slots + s]);
  block_sum(stats);
  if (threadIdx.x != 0) return;
  double* out = a.row_stats + row * kRowStats;
  out[kSquaredError] = stats[0];
  out[kL1] = stats[1];
  out[kL0] = active;
  out[kAuxSquaredError] = stats[2];
}

constexpr int kSumThreads = 128;

// A thread has four columns of one block of rows.
template <typename Low, bool kAligned>
__global__ void __launch_bounds__(kSumThreads)
    residual_block_sums_kernel(const Low* __restrict__ residual, int64_t rows, int64_t n,
                               float* __restrict__ out) {
  const int64_t column = (int64_t{blockIdx.y} * kSumThreads + threadIdx.x) * 4;
  const int64_t first = int64_t{blockIdx.x} * kBlock, last = min(first + kBlock, rows);
  Four sum{};
#pragma unroll 8
  for (int64_t row = first; row < last; ++row)
    add_scaled(sum, 1.0f, load_four<kAligned>(residual + row * n, column, n));
  store_four<kAligned>(out + int64_t{blockIdx.x} * n, column, n, sum);
}

}  // namespace saemill::gpu
