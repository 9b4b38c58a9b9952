// Every intrinsic that kernels may use, each giving one number per thread of one block.
#pragma once

#include "engine/gpu/runtime.h"

namespace saemill::gpu::sample {

constexpr int kIntrinsicThreads = 64;

enum Lanes : int {
  kShuffle,
  kShuffleWidth,
  kUp,
  kUpWidth,
  kDown,
  kDownWidth,
  kXor,
  kXorWidth,
  kHalfWarp,
  kBallot,
  kAny,
  kAll,
  kCount,
  kOr,
  kAnd,
  kLong,
  kDouble,
  kLanesEnd
};
enum Bits : int {
  kPopc,
  kPopcll,
  kFfs,
  kFfsll,
  kClz,
  kClzll,
  kBrev,
  kFloatBits,
  kBitsFloat,
  kDoubleBits,
  kLdg,
  kMin,
  kMax,
  kFma,
  kMulHigh,
  kBitsEnd
};
enum Atomics : int {
  kAddInt,
  kAddUnsigned,
  kAddLong,
  kAddFloat,
  kMinInt,
  kMaxUnsigned,
  kOrUnsigned,
  kAndUnsigned,
  kMaxLong,
  kCompared,
  kExchanged,
  kAtomicsEnd
};

// out: long long [kLanesEnd, 64]
void lanes(long long* out, const Stream& stream);
// in: unsigned [64]; out: long long [kBitsEnd, 64]
void bits(const unsigned* in, long long* out, const Stream& stream);
// ints, unsigneds, longs: [kAtomicsEnd]; floats [1]; two blocks.
void atomics(int* ints, unsigned* unsigneds, unsigned long long* longs, float* floats, const Stream& stream);

}  // namespace saemill::gpu::sample
