// Random operands, codes, and comparison with plain loops in double.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "common/base/random.h"
#include "common/plan/tiles.h"
#include "cuda_kernels/orders.h"
#include "engine/backend/step_scalars.h"
#include "engine/tensor/view.h"

namespace saemill::gpu {

inline size_t at(int64_t i) {
  return static_cast<size_t>(i);
}

inline double value_of(float x) {
  return static_cast<double>(x);
}
inline double value_of(double x) {
  return x;
}
inline double value_of(BFloat16 x) {
  const uint32_t bits = static_cast<uint32_t>(x.bits) << 16;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return static_cast<double>(value);
}

// The nearest Low, ties to even.
template <typename Low>
Low low_of(float x);
template <>
inline float low_of<float>(float x) {
  return x;
}
template <>
inline BFloat16 low_of<BFloat16>(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  return {static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16)};
}

inline std::vector<float> normals(int64_t count, uint64_t stream, double scale = 1) {
  std::vector<float> values(at(count));
  for (int64_t i = 0; i < count; ++i)
    values[at(i)] = static_cast<float>(scale * random_normal(7, stream, static_cast<uint64_t>(i)));
  return values;
}
template <typename Low>
std::vector<Low> lows(const std::vector<float>& values) {
  std::vector<Low> result;
  for (const float x : values) result.push_back(low_of<Low>(x));
  return result;
}

// How far results may be from the plain loops in double, of the size of the whole: f32 arithmetic, and one
// rounding to Low.
constexpr double kSums = 2e-6;
template <typename Low>
constexpr double kRounded = sizeof(Low) == 2 ? 4e-3 : 2e-6;

template <typename T>
void expect_close(const std::vector<T>& got, const std::vector<double>& want, double tolerance,
                  const std::string& name) {
  ASSERT_EQ(got.size(), want.size()) << name;
  double difference = 0, size = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    difference += std::pow(value_of(got[i]) - want[i], 2);
    size += want[i] * want[i];
  }
  EXPECT_LE(std::sqrt(difference), tolerance * std::sqrt(size) + 1e-12) << name;  // false for NaN
}

template <typename T>
void expect_same_bits(const std::vector<T>& a, const std::vector<T>& b, const std::string& name) {
  ASSERT_EQ(a.size(), b.size()) << name;
  EXPECT_TRUE(a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0) << name;
}

// Code slots [rows, k], ascending, active ones first. Row r has `active(r)` of them.
struct TestCodes {
  int64_t rows = 0, k = 0;
  std::vector<int32_t> index;
  std::vector<float> value, grad;
};

// All latents are hit alike, except that `hot` (if not negative) is in each row that has a slot.
inline TestCodes random_codes(int64_t rows, int64_t k, int64_t latents, uint64_t stream, int64_t hot = -1) {
  TestCodes codes{rows, k, std::vector<int32_t>(at(rows * k), 0), std::vector<float>(at(rows * k), 0.0f),
                  std::vector<float>(at(rows * k), 0.0f)};
  for (int64_t r = 0; r < rows; ++r) {
    const auto draw = [&](int64_t i) {
      return random_bits(7, stream, static_cast<uint64_t>(r * latents + i));
    };
    // Of every third row all slots, of every third none or few.
    const int64_t most = r % 3 == 0 ? k : r % 3 == 1 ? static_cast<int64_t>(draw(0) % 3) : (k + 1) / 2;
    int64_t left = std::min({most, k, latents});
    for (int64_t j = 0, s = 0; j < latents && left > 0; ++j) {
      const int64_t ahead = latents - j;
      const bool must = j == hot || left == ahead;
      const bool keep_one = hot > j && left == 1;
      if (!must && (keep_one || static_cast<int64_t>(draw(j + 1) % static_cast<uint64_t>(ahead)) >= left))
        continue;
      const size_t slot = at(r * k + s++);
      codes.index[slot] = static_cast<int32_t>(j);
      codes.value[slot] = 0.25f + static_cast<float>(random_uniform(7, stream + 1, slot));
      codes.grad[slot] = static_cast<float>(random_normal(7, stream + 2, slot));
      --left;
    }
  }
  return codes;
}

}  // namespace saemill::gpu
