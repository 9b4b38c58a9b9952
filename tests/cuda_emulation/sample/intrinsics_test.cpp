// Each intrinsic against what CUDA's manual says, by CUDA and by the emulation.
#include "intrinsics.h"

#include <gtest/gtest.h>

#include <bit>

#include "fixture.h"

namespace saemill::gpu {
namespace {

using namespace sample;
using Intrinsics = DeviceTest;
constexpr int kThreads = kIntrinsicThreads;

TEST_F(Intrinsics, ShufflesAndVotes) {
  const Memory memory(sizeof(long long) * kLanesEnd * kThreads);
  lanes(memory.as<long long>(), stream());
  const auto out = download<long long>(memory);
  for (int t = 0; t < kThreads; ++t) {
    const auto got = [&](Lanes row) { return out[static_cast<size_t>(row * kThreads + t)]; };
    const int lane = t % 32, warp = t - lane, eight = t - t % 8;
    EXPECT_EQ(got(kShuffle), warp + 5);
    EXPECT_EQ(got(kShuffleWidth), eight + (t + 1) % 8);
    EXPECT_EQ(got(kUp), lane < 3 ? t : t - 3);
    EXPECT_EQ(got(kUpWidth), t % 8 < 3 ? t : t - 3);
    EXPECT_EQ(got(kDown), lane + 3 > 31 ? t : t + 3);
    EXPECT_EQ(got(kDownWidth), t % 8 + 3 > 7 ? t : t + 3);
    EXPECT_EQ(got(kXor), warp + (lane ^ 21));
    EXPECT_EQ(got(kXorWidth), (lane ^ 9) > lane - lane % 8 + 7 ? t : warp + (lane ^ 9));
    EXPECT_EQ(got(kHalfWarp), lane < 16 ? t ^ 15 : -(t ^ 1));
    EXPECT_EQ(got(kBallot), warp == 0 ? 0x49249249LL : 0x92492492LL);
    EXPECT_EQ(got(kAny), warp == 32);
    EXPECT_EQ(got(kAll), warp == 0);
    EXPECT_EQ(got(kCount), 13);
    EXPECT_EQ(got(kOr), 1);
    EXPECT_EQ(got(kAnd), 0);
    EXPECT_EQ(got(kLong), (1LL << 40) + warp + 31);
    EXPECT_EQ(got(kDouble), 2 * (warp + 2) + 1);
  }
}

unsigned reversed(unsigned x) {
  unsigned r = 0;
  for (int i = 0; i < 32; ++i, x >>= 1) r = r << 1 | (x & 1u);
  return r;
}

TEST_F(Intrinsics, BitsAndNumbers) {
  std::vector<unsigned> in = {0u, 1u, 0x80000000u, 0xffffffffu};
  while (in.size() < kThreads) in.push_back(static_cast<unsigned>(in.size()) * 2654435761u);
  const Memory given = upload(in), memory(sizeof(long long) * kBitsEnd * kThreads);
  bits(given.as<unsigned>(), memory.as<long long>(), stream());
  const auto out = download<long long>(memory);
  for (int t = 0; t < kThreads; ++t) {
    const auto got = [&](Bits row) { return out[static_cast<size_t>(row * kThreads + t)]; };
    const unsigned x = in[static_cast<size_t>(t)];
    const uint64_t wide = uint64_t{x} << 13;
    EXPECT_EQ(got(kPopc), std::popcount(x));
    EXPECT_EQ(got(kPopcll), std::popcount(wide));
    EXPECT_EQ(got(kFfs), x == 0 ? 0 : std::countr_zero(x) + 1);
    EXPECT_EQ(got(kFfsll), x == 0 ? 0 : std::countr_zero(wide) + 1);
    EXPECT_EQ(got(kClz), std::countl_zero(x));
    EXPECT_EQ(got(kClzll), std::countl_zero(wide));
    EXPECT_EQ(got(kBrev), reversed(x));
    EXPECT_EQ(got(kFloatBits), std::bit_cast<unsigned>(static_cast<float>(t)) + 0x3f800000u);
    EXPECT_EQ(got(kBitsFloat), 3);
    EXPECT_EQ(got(kDoubleBits), static_cast<long long>(wide));
    EXPECT_EQ(got(kLdg), x);
    EXPECT_EQ(got(kMin), std::min(static_cast<int>(x), 7));
    EXPECT_EQ(got(kMax), std::max(x, 7u));
    EXPECT_EQ(got(kFma), 35);
    EXPECT_EQ(got(kMulHigh), static_cast<long long>(uint64_t{x} * 0xfffffff1u >> 32));
  }
}

TEST_F(Intrinsics, Atomics) {
  const Memory i = upload(std::vector<int>(kAtomicsEnd, 0)), f = upload(std::vector<float>(1, 1.0f));
  const Memory u = upload([] {
    std::vector<unsigned> start(kAtomicsEnd, 0u);
    start[kAndUnsigned] = ~0u;
    return start;
  }());
  const Memory l = upload(std::vector<unsigned long long>(kAtomicsEnd, 0));
  atomics(i.as<int>(), u.as<unsigned>(), l.as<unsigned long long>(), f.as<float>(), stream());
  const auto ints = download<int>(i);
  const auto unsigneds = download<unsigned>(u);
  const auto longs = download<unsigned long long>(l);
  EXPECT_EQ(ints[kAddInt], 127 * 128 / 2 - 12800);
  EXPECT_EQ(ints[kMinInt], 50 - 127);
  EXPECT_EQ(unsigneds[kAddUnsigned], 127u * 128 / 2);
  EXPECT_EQ(unsigneds[kMaxUnsigned], 127u);
  EXPECT_EQ(unsigneds[kOrUnsigned], 0xfffffu);
  EXPECT_EQ(unsigneds[kAndUnsigned], 0xfff00000u);
  EXPECT_EQ(unsigneds[kCompared], 11u);
  EXPECT_EQ(unsigneds[kExchanged], 13u);
  EXPECT_EQ(longs[kAddLong], 128ULL << 33);
  EXPECT_EQ(longs[kMaxLong], (1ULL << 40) + 127);
  EXPECT_EQ(download<float>(f)[0], 65.0f);
}

}  // namespace
}  // namespace saemill::gpu
