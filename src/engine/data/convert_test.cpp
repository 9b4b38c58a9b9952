#include "engine/data/convert.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include "common/base/error.h"
#include "common/base/random.h"

namespace saemill {
namespace {

// By the definition of the format, and not by shifting bits.
float half_value(uint16_t half) {
  const int exponent = half >> 10 & 31, fraction = half & 1023;
  const double magnitude =
      exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25);
  return static_cast<float>(half & 0x8000 ? -magnitude : magnitude);
}

class Convert : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    try {
      converters_ = &converters_for(GetParam());
    } catch (const Error&) {
      GTEST_SKIP() << "not on this processor";
    }
  }
  const Converters* converters_ = nullptr;
};

uint32_t bits(float value) {
  return std::bit_cast<uint32_t>(value);
}

TEST_P(Convert, EveryHalfAndBfloat16) {
  EXPECT_STREQ(converters_->isa, GetParam());
  std::vector<uint16_t> halves, bfloats;
  for (uint32_t word = 0; word < 65536; ++word) {
    if ((word & 0x7c00) != 0x7c00) halves.push_back(static_cast<uint16_t>(word));
    if ((word & 0x7f80) != 0x7f80) bfloats.push_back(static_cast<uint16_t>(word));
  }
  for (const float scale : {1.0f, 0.37f}) {
    std::vector<float> out(65536);
    ASSERT_TRUE(converters_->f16(halves.data(), static_cast<int64_t>(halves.size()), scale, out.data()));
    for (size_t i = 0; i < halves.size(); ++i)
      ASSERT_EQ(bits(out[i]), bits(scale * half_value(halves[i]))) << halves[i];
    ASSERT_TRUE(converters_->bf16(bfloats.data(), static_cast<int64_t>(bfloats.size()), scale, out.data()));
    for (size_t i = 0; i < bfloats.size(); ++i)
      ASSERT_EQ(bits(out[i]), bits(scale * std::bit_cast<float>(uint32_t{bfloats[i]} << 16))) << bfloats[i];
  }
}

TEST_P(Convert, Floats) {
  std::vector<float> from;
  for (uint64_t i = 0; i < 10000; ++i) {
    const float value = std::bit_cast<float>(static_cast<uint32_t>(random_bits(1, 2, i)));
    if (std::isfinite(value)) from.push_back(value);
  }
  from.insert(from.end(), {0.0f, -0.0f, std::numeric_limits<float>::max(), 1e-45f});
  for (const float scale : {1.0f, 0.37f}) {
    std::vector<float> out(from.size());
    ASSERT_TRUE(converters_->f32(from.data(), static_cast<int64_t>(from.size()), scale, out.data()));
    for (size_t i = 0; i < from.size(); ++i) ASSERT_EQ(bits(out[i]), bits(scale * from[i]));
  }
}

// In every lane and in what remains after the last full vector; nothing beyond the end is read or written.
TEST_P(Convert, OneBadValueAnywhere) {
  const uint32_t bad[] = {0x7f800000u, 0xff800000u, 0x7fc00000u, 0x7f800001u, 0xffffffffu};
  const uint16_t bad_half[] = {0x7c00, 0xfc00, 0x7e00, 0x7c01, 0xffff};
  for (size_t n = 0; n <= 70; ++n)
    for (size_t kind = 0; kind < 5; ++kind)
      for (size_t at = 0; at <= n; ++at) {  // at == n: behind the end
        std::vector<float> f32(n + 1, -65504.0f), out(n + 1, 7.0f);
        std::vector<uint16_t> f16(n + 1, 0xfbff), bf16(n + 1, 0xff7f);
        f32[at] = std::bit_cast<float>(bad[kind]);
        f16[at] = bad_half[kind];
        bf16[at] = kind == 3 ? 0x7f81 : static_cast<uint16_t>(bad[kind] >> 16);
        const auto count = static_cast<int64_t>(n);
        ASSERT_EQ(converters_->f32(f32.data(), count, 1, out.data()), at == n);
        ASSERT_EQ(converters_->f16(f16.data(), count, 1, out.data()), at == n);
        ASSERT_EQ(converters_->bf16(bf16.data(), count, 1, out.data()), at == n);
        ASSERT_EQ(out[n], 7.0f);
      }
}

INSTANTIATE_TEST_SUITE_P(Isa, Convert, testing::Values("avx512", "avx2", "sse2"),
                         [](const auto& given) { return std::string(given.param); });

TEST(Converters, TheBestIsOneOfThem) {
  EXPECT_EQ(&best_converters(), &converters_for(best_converters().isa));
  EXPECT_THROW(converters_for("neon"), Error);
}

}  // namespace
}  // namespace saemill
