#include "intrinsics.h"

#include "engine/gpu/launch.h"

namespace saemill::gpu::sample {
namespace {

__global__ void lanes_kernel(long long* out) {
  const int t = static_cast<int>(threadIdx.x), lane = t % warpSize;
  const auto put = [&](Lanes row, long long value) { out[row * kIntrinsicThreads + t] = value; };
  put(kShuffle, __shfl_sync(kAllLanes, t, 5));
  put(kShuffleWidth, __shfl_sync(kAllLanes, t, lane + 1, 8));
  put(kUp, __shfl_up_sync(kAllLanes, t, 3));
  put(kUpWidth, __shfl_up_sync(kAllLanes, t, 3, 8));
  put(kDown, __shfl_down_sync(kAllLanes, t, 3));
  put(kDownWidth, __shfl_down_sync(kAllLanes, t, 3, 8));
  put(kXor, __shfl_xor_sync(kAllLanes, t, 21));
  put(kXorWidth, __shfl_xor_sync(kAllLanes, t, 9, 8));
  const unsigned half = lane < 16 ? 0x0000ffffu : 0xffff0000u;
  if (lane < 16) {
    put(kHalfWarp, __shfl_xor_sync(half, t, 15));
  } else {
    put(kHalfWarp, __shfl_xor_sync(half, -t, 1));
  }
  __syncwarp();
  put(kBallot, __ballot_sync(kAllLanes, t % 3 == 0));
  put(kAny, __any_sync(kAllLanes, t == 40) != 0);
  put(kAll, __all_sync(kAllLanes, t < 40) != 0);
  put(kCount, __syncthreads_count(t % 5 == 0));
  put(kOr, __syncthreads_or(t == 63) != 0);
  put(kAnd, __syncthreads_and(t < 63) != 0);
  put(kLong, __shfl_sync(kAllLanes, (1LL << 40) + t, 31));
  put(kDouble, static_cast<long long>(__shfl_sync(kAllLanes, 0.5 + t, 2) * 2));
}

__global__ void bits_kernel(const unsigned* in, long long* out) {
  const unsigned t = threadIdx.x, x = in[t];
  const int s = static_cast<int>(x);
  const unsigned long long wide = static_cast<unsigned long long>(x) << 13;
  const auto put = [&](Bits row, long long value) {
    out[row * kIntrinsicThreads + static_cast<int>(t)] = value;
  };
  put(kPopc, __popc(x));
  put(kPopcll, __popcll(wide));
  put(kFfs, __ffs(s));
  put(kFfsll, __ffsll(static_cast<long long>(wide)));
  put(kClz, __clz(s));
  put(kClzll, __clzll(static_cast<long long>(wide)));
  put(kBrev, __brev(x));
  put(kFloatBits, __float_as_uint(static_cast<float>(t)) + __float_as_int(1.0f));
  put(kBitsFloat, static_cast<long long>(__uint_as_float(0x40000000u) + __int_as_float(0x3f800000)));
  put(kDoubleBits, __double_as_longlong(__longlong_as_double(static_cast<long long>(wide))));
  put(kLdg, __ldg(in + t));
  put(kMin, min(s, 7));
  put(kMax, max(x, 7u));
  put(kMulHigh, __umulhi(x, 0xfffffff1u));
  put(kFma, static_cast<long long>(fmaf(3.0f, __fmul_rn(2.0f, 5.0f), __fadd_rn(1.0f, sqrtf(16.0f)))));
}

__global__ void atomics_kernel(int* ints, unsigned* unsigneds, unsigned long long* longs, float* floats) {
  const unsigned u = blockIdx.x * blockDim.x + threadIdx.x;
  const int t = static_cast<int>(u);
  atomicAdd(ints + kAddInt, t - 100);
  atomicMin(ints + kMinInt, 50 - t);
  atomicAdd(unsigneds + kAddUnsigned, u);
  atomicMax(unsigneds + kMaxUnsigned, u);
  atomicOr(unsigneds + kOrUnsigned, 1u << (u % 20));
  atomicAnd(unsigneds + kAndUnsigned, ~(1u << (u % 20)));
  atomicAdd(longs + kAddLong, 1ULL << 33);
  atomicMax(longs + kMaxLong, (1ULL << 40) + u);
  atomicAdd(floats, 0.5f);
  atomicCAS(unsigneds + kCompared, 0u, 11u);
  if (t == 9) atomicExch(unsigneds + kExchanged, 13u);
  __threadfence();
}

}  // namespace

void lanes(long long* out, const Stream& stream) {
  launch(stream, "lanes", lanes_kernel, {{1}, kIntrinsicThreads}, out);
}

void bits(const unsigned* in, long long* out, const Stream& stream) {
  launch(stream, "bits", bits_kernel, {{1}, kIntrinsicThreads}, in, out);
}

void atomics(int* ints, unsigned* unsigneds, unsigned long long* longs, float* floats, const Stream& stream) {
  launch(stream, "atomics", atomics_kernel, {{2}, kIntrinsicThreads}, ints, unsigneds, longs, floats);
}

}  // namespace saemill::gpu::sample
