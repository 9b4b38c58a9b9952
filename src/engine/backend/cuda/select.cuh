// Kernels of select.h. A block has one row at a time.
//
// A row is read once, in tiles that its threads hold in registers. What is above the row's threshold is
// appended to its candidates in global memory; where they do not fit, the threshold is raised to a value that
// leaves little more than k of them, found by bisection over the bits of the keys: candidates and tile are
// counted in every round. No histogram, so no contended atomics where all values share an exponent; ten
// rounds are typical, because any threshold that leaves k to k + slack / 4 will do. With k = 64 and 131072
// latents a row does so about three times in all.
#pragma once

#include "engine/backend/cuda/select.h"
#include "engine/gpu/kernel.h"

namespace saemill::gpu {

// 16 values each are 64 bytes in flight per thread, and leave registers for five blocks on a multiprocessor:
// 80 KB in flight, more than twice what hides the latency of an H200's memory.
constexpr int kSelectThreads = 256;
constexpr int kSelectBlocks = 5;
constexpr int kSelectPerThread = 16;
constexpr int kSelectTile = kSelectThreads * kSelectPerThread;

constexpr uint64_t kOneValue = uint64_t{1} << 32;  // between keys of neighbouring values
constexpr uint64_t kAboveInfinity = 0x7f800001 * kOneValue;

// Larger: larger value, or the same value and a lower latent. Bits of positive floats order as they do.
__device__ inline uint64_t key_of(unsigned value_bits, int latent) {
  return value_bits * kOneValue + (0xffffffffu - static_cast<unsigned>(latent));
}

// Sums over a block of Threads, with one barrier each: two sets of partial sums take turns, because some
// threads still read one when others begin the next.
template <int Threads>
struct BlockSum {
  static constexpr int kWarps = Threads / static_cast<int>(kWarp);
  int* partial;  // shared, [2 * kWarps]
  int turn = 0;

  __device__ int operator()(int mine) {
#pragma unroll
    for (int distance = 16; distance > 0; distance /= 2) mine += __shfl_xor_sync(kAllLanes, mine, distance);
    int* sums = partial + turn * kWarps;
    turn = 1 - turn;
    if (threadIdx.x % kWarp == 0) sums[threadIdx.x / kWarp] = mine;
    __syncthreads();
    int total = 0;
#pragma unroll
    for (int w = 0; w < kWarps; ++w) total += sums[w];
    return total;
  }
};

// The first of `mine` places behind *counter, which is in shared memory: one atomic for a warp, none where no
// lane wants any. All lanes call it. Which warp comes first is left open, as only sets are kept.
__device__ inline int reserve(int* counter, int mine) {
  if (!__any_sync(kAllLanes, mine)) return 0;
  const unsigned lane = threadIdx.x % kWarp;
  int through = mine;
#pragma unroll
  for (unsigned distance = 1; distance < kWarp; distance *= 2) {
    const int other = __shfl_up_sync(kAllLanes, through, distance);
    if (lane >= distance) through += other;
  }
  int base = 0;
  if (lane == kWarp - 1) base = atomicAdd(counter, through);
  return __shfl_sync(kAllLanes, base, kWarp - 1) + through - mine;
}

struct Cut {
  uint64_t key;
  int count;  // of keys that are not below it
};

// A key that `least` to `most` keys are not below, where more than `most` are not below `low`. count(key) is
// the same in all threads. First whole values, then, where many are the same, latents among these; keys are
// distinct, so there is one.
template <typename Count>
__device__ inline Cut find_cut(uint64_t low, int least, int most, Count&& count) {
  Cut high{kAboveInfinity, 0};
  while (high.key - low > 1) {
    uint64_t middle = low + (high.key - low) / 2;
    if (high.key - low > kOneValue) middle &= ~(kOneValue - 1);
    const int n = count(middle);
    if (n > most) {
      low = middle;
    } else {
      high = {middle, n};
      if (n >= least) break;
    }
  }
  return high;
}

// The chunk's part of one row.
struct ChunkRow {
  const float* pre;
  const float* bias;
  const uint8_t* dead;
  int first;  // latent
  int count;
};

// Where the i-th value of this thread lies in a tile: neighbouring lanes read neighbouring vectors.
template <int Width>
__device__ inline int tile_offset(int i) {
  return (i / Width * kSelectThreads + static_cast<int>(threadIdx.x)) * Width + i % Width;
}

__device__ inline unsigned candidate_bits(float pre, float bias, float threshold) {
  const float value = __fadd_rn(pre, bias);
  return value > threshold ? __float_as_uint(value) : 0;  // false for NaN
}

// Bits of the candidates among the tile's values; 0 for the others. row.count is a multiple of Width. What is
// not loaded is 0, which is no candidate; the loads of a thread go out together.
template <int Width, bool Flagged>
__device__ inline void read_tile(const ChunkRow& row, int at, float threshold, unsigned* bits) {
  constexpr int kVectors = kSelectPerThread / Width;
  unsigned flags[kVectors];  // a byte for each value of a vector
#pragma unroll
  for (int v = 0; v < kVectors; ++v) {
    const int c = at + tile_offset<Width>(v * Width);
    flags[v] = c < row.count ? ~0u : 0;
    if constexpr (Flagged && Width == 4)
      if (c < row.count) flags[v] = load<1>(reinterpret_cast<const unsigned*>(row.dead + c))[0];
    if constexpr (Flagged && Width == 1)
      if (c < row.count) flags[v] = row.dead[c];
  }
  Vec<float, Width> pre[kVectors];
#pragma unroll
  for (int v = 0; v < kVectors; ++v) {  // of few dead latents only their part is fetched from memory
    pre[v] = {};
    if (flags[v] != 0) pre[v] = load_once<Width>(row.pre + at + tile_offset<Width>(v * Width));
  }
#pragma unroll
  for (int v = 0; v < kVectors; ++v) {
    Vec<float, Width> bias{};
    if (flags[v] != 0) bias = load<Width>(row.bias + at + tile_offset<Width>(v * Width));
#pragma unroll
    for (int j = 0; j < Width; ++j) {
      unsigned& out = bits[v * Width + j];
      out = candidate_bits(pre[v][j], bias[j], threshold);
      if constexpr (Flagged) out = (flags[v] >> (8 * j) & 0xffu) != 0 ? out : 0;
    }
  }
}

// Stores the tile's keys that are not below `cut` from place `at` on, as far as there is room.
template <int Width>
__device__ inline void append_tile(const unsigned* bits, int first, uint64_t cut, uint64_t* keys, int at,
                                   int capacity) {
#pragma unroll
  for (int i = 0; i < kSelectPerThread; ++i) {
    const uint64_t key = key_of(bits[i], first + tile_offset<Width>(i));
    if (bits[i] == 0 || key < cut) continue;
    if (at < capacity) keys[at] = key;
    ++at;
  }
}

// Keys of the tile that are not below `cut`; where that is a whole value, 32 bits tell.
template <int Width>
__device__ inline int count_tile(const unsigned* bits, int first, uint64_t cut) {
  const unsigned value = static_cast<unsigned>(cut >> 32);
  int n = 0;
  if (cut % kOneValue == 0) {
#pragma unroll
    for (int i = 0; i < kSelectPerThread; ++i) n += bits[i] >= value ? 1 : 0;
  } else {
#pragma unroll
    for (int i = 0; i < kSelectPerThread; ++i)
      n += key_of(bits[i], first + tile_offset<Width>(i)) >= cut ? 1 : 0;
  }
  return n;
}

// Keeps the best of `count` candidates and the tile. Every thread looks at candidates that it has copied to
// shared memory itself, so the copies need no barrier; those of the counting lie between reading the
// candidates and writing them.
template <int Width>
__device__ inline Cut prune(const SelectState& state, uint64_t* keys, int count, float threshold,
                            const unsigned* bits, int first, BlockSum<kSelectThreads>& sum, int* kept) {
  uint64_t* copies = dynamic_shared<uint64_t>(0, static_cast<size_t>(state.capacity));
  const int thread = static_cast<int>(threadIdx.x);
  for (int i = thread; i < count; i += kSelectThreads) copies[i] = keys[i];
  if (thread == 0) *kept = 0;
  const int most = state.k + (state.capacity - state.k) / 4;
  const Cut cut = find_cut(__float_as_uint(threshold) * kOneValue, state.k, most, [&](uint64_t key) {
    int mine = count_tile<Width>(bits, first, key);
    for (int i = thread; i < count; i += kSelectThreads) mine += copies[i] >= key ? 1 : 0;
    return sum(mine);
  });
  for (int base = 0; base < count; base += kSelectThreads) {
    const int i = base + thread;
    const bool keep = i < count && copies[i] >= cut.key;
    const int at = reserve(kept, keep ? 1 : 0);
    if (keep) keys[at] = copies[i];
  }
  const int at = reserve(kept, count_tile<Width>(bits, first, cut.key));
  append_tile<Width>(bits, first, cut.key, keys, at, state.capacity);
  return cut;
}

// What the rows of a block take turns with, in shared memory.
struct SelectShared {
  int* appended;  // [3]: in this tile, cleared for the next one, read in the last one
  int* kept;
};

// The chunk's part of row r. All threads of the block.
template <int Width, bool Flagged>
__device__ inline void select_row(const SelectState& state, const SelectChunk& chunk, int64_t r,
                                  BlockSum<kSelectThreads>& sum, const SelectShared& shared) {
  uint64_t* keys = state.keys + r * state.capacity;
  const ChunkRow row{chunk.pre + r * chunk.ld, chunk.bias, chunk.dead, static_cast<int>(chunk.first),
                     static_cast<int>(chunk.count)};
  int count = row.first > 0 ? state.count[r] : 0;
  float threshold = row.first > 0 ? state.threshold[r] : 0.0f;
  if (threadIdx.x == 0) shared.appended[0] = 0;
  __syncthreads();
  for (int at = 0, turn = 0; at < row.count; at += kSelectTile) {
    unsigned bits[kSelectPerThread];
    read_tile<Width, Flagged>(row, at, threshold, bits);
    const int next = turn == 2 ? 0 : turn + 1;
    if (threadIdx.x == 0) shared.appended[next] = 0;
    const int place =
        count + reserve(&shared.appended[turn], count_tile<Width>(bits, row.first + at, kOneValue));
    append_tile<Width>(bits, row.first + at, 0, keys, place, state.capacity);
    __syncthreads();
    const int total = count + shared.appended[turn];
    turn = next;
    if (total <= state.capacity) {
      count = total;
      continue;
    }
    const Cut cut = prune<Width>(state, keys, count, threshold, bits, row.first + at, sum, shared.kept);
    count = cut.count;
    threshold = __uint_as_float(static_cast<unsigned>(cut.key >> 32));
  }
  if (threadIdx.x != 0) return;
  state.count[r] = count;
  state.threshold[r] = threshold;
}

template <int Width>
__global__ void __launch_bounds__(kSelectThreads, kSelectBlocks)
    select_chunk_kernel(SelectState state, SelectChunk chunk) {
  SAEMILL_SHARED(int, partial, 2 * kSelectThreads / 32);
  SAEMILL_SHARED(int, appended, 3);
  SAEMILL_SHARED(int, kept, 1);
  BlockSum<kSelectThreads> sum{partial};
  select_row<Width, false>(state, chunk, blockIdx.x, sum, {appended, kept});
}

// The same in all threads.
template <int Width>
__device__ inline bool any_dead(const SelectChunk& chunk) {
  if (chunk.dead_count && *chunk.dead_count == 0) return false;
  bool dead = false;
  for (int64_t i = int64_t{threadIdx.x} * Width; i < chunk.count; i += kSelectThreads * Width) {
    if constexpr (Width == 4)
      dead |= load<1>(reinterpret_cast<const unsigned*>(chunk.dead + i))[0] != 0;
    else
      dead |= chunk.dead[i] != 0;
  }
  return __syncthreads_count(dead) > 0;
}

// Among dead latents, which are few or none: fewer blocks than rows, each looks at the flags once.
constexpr int64_t kSelectDeadBlocks = 1024;
constexpr int kSelectDeadResident = 4;  // on a multiprocessor: the loop over rows takes more registers

template <int Width>
__global__ void __launch_bounds__(kSelectThreads, kSelectDeadResident)
    select_chunk_dead_kernel(SelectState state, SelectChunk chunk) {
  SAEMILL_SHARED(int, partial, 2 * kSelectThreads / 32);
  SAEMILL_SHARED(int, appended, 3);
  SAEMILL_SHARED(int, kept, 1);
  BlockSum<kSelectThreads> sum{partial};
  if (!any_dead<Width>(chunk)) {
    const int64_t step = int64_t{gridDim.x} * kSelectThreads;
    for (int64_t r = int64_t{blockIdx.x} * kSelectThreads + threadIdx.x; r < chunk.rows && chunk.first == 0;
         r += step) {
      state.count[r] = 0;
      state.threshold[r] = 0;
    }
    return;
  }
  for (int64_t r = blockIdx.x; r < chunk.rows; r += gridDim.x) {
    select_row<Width, true>(state, chunk, r, sum, {appended, kept});
    __syncthreads();  // the next row begins with what this one still reads
  }
}

// Sorts n keys (a power of two) in shared memory, ascending.
template <int Threads>
__device__ inline void sort_shared(uint64_t* keys, int n) {
  for (int run = 2; run <= n; run *= 2)
    for (int stride = run / 2; stride > 0; stride /= 2) {
      for (int pair = static_cast<int>(threadIdx.x); pair < n / 2; pair += Threads) {
        const int low = pair / stride * 2 * stride + pair % stride;
        const uint64_t a = keys[low], b = keys[low + stride];
        if ((a > b) != ((low & run) != 0)) {
          keys[low] = b;
          keys[low + stride] = a;
        }
      }
      __syncthreads();
    }
}

// Moves the keys that are not below `cut` to the front, turned for sorting by latent. In place: all threads
// have read a strip before it is written to, and no more is written than was read.
template <int Threads>
__device__ inline void keep_shared(uint64_t* keys, int count, uint64_t cut, int* kept) {
  for (int base = 0; base < count; base += Threads) {
    const int i = base + static_cast<int>(threadIdx.x);
    const uint64_t key = i < count ? keys[i] : 0;
    const bool keep = i < count && key >= cut;
    __syncthreads();
    const int at = reserve(kept, keep ? 1 : 0);
    if (keep) keys[at] = (0xffffffffu - key % kOneValue) * kOneValue + (key >> 32);
  }
}

// `padded` is k or the next power of two; shared memory holds that many keys, and the capacity.
template <int Threads>
__global__ void __launch_bounds__(Threads)
    finish_select_kernel(SelectState state, int padded, int32_t* __restrict__ index,
                         float* __restrict__ value, int32_t* more) {
  SAEMILL_SHARED(int, partial, 2 * Threads / 32);
  SAEMILL_SHARED(int, kept, 1);
  uint64_t* keys = dynamic_shared<uint64_t>(0, static_cast<size_t>(max(padded, state.capacity)));
  const int64_t r = blockIdx.x;
  const int thread = static_cast<int>(threadIdx.x), count = state.count[r];
  for (int i = thread; i < count; i += Threads) keys[i] = state.keys[r * state.capacity + i];
  if (thread == 0) {
    *kept = 0;
    if (more && (count > state.k || state.threshold[r] > 0)) atomicOr(more, 1);
  }
  __syncthreads();
  uint64_t cut = 0;
  if (count > state.k) {
    BlockSum<Threads> sum{partial};
    cut = find_cut(0, state.k, state.k, [&](uint64_t key) {
            int mine = 0;
            for (int i = thread; i < count; i += Threads) mine += keys[i] >= key ? 1 : 0;
            return sum(mine);
          }).key;
  }
  keep_shared<Threads>(keys, count, cut, kept);
  const int used = min(count, state.k);  // so many were kept, what follows lies behind them
  for (int i = used + thread; i < padded; i += Threads) keys[i] = ~uint64_t{0};
  __syncthreads();
  sort_shared<Threads>(keys, padded);
  for (int s = thread; s < state.k; s += Threads) {
    const uint64_t key = s < used ? keys[s] : 0;
    index[r * state.k + s] = static_cast<int32_t>(key >> 32);
    value[r * state.k + s] = __uint_as_float(static_cast<unsigned>(key));
  }
}

// Whole numbers may be added by atomics: their sum does not depend on the order.
__global__ void __launch_bounds__(kSelectThreads)
    mark_dead_kernel(const int64_t* __restrict__ last_fired, int64_t latents,
                     const int64_t* __restrict__ seen, int64_t dead_after, uint8_t* __restrict__ dead,
                     unsigned long long* count) {
  const int64_t j = int64_t{blockIdx.x} * kSelectThreads + threadIdx.x;
  const bool is_dead = j < latents && *seen - last_fired[j] >= dead_after;
  if (j < latents) dead[j] = is_dead ? 1 : 0;
  const int n = __syncthreads_count(is_dead);
  if (threadIdx.x == 0 && n > 0) atomicAdd(count, static_cast<unsigned long long>(n));
}

}  // namespace saemill::gpu
