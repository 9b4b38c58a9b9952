// Compiled once per instruction set by convert_<isa>.cpp, which defines SAEMILL_CONVERTERS (the function's
// name) and SAEMILL_ISA. The loops are for the compiler to vectorize: no branch, no call, one OR for the
// check. Everything is in an anonymous namespace and uses no standard library templates, as an inline
// function shared with other files could be kept in the version that older processors cannot run.
#include <cstring>

#include "engine/data/convert.h"

namespace saemill {
namespace {

inline float as_float(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}
inline uint32_t as_bits(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

// One more in an exponent of only ones carries into the sign's place, which is why the sign is cleared first.
constexpr uint32_t kSign = 0x80000000u, kOne = 0x00800000u;

bool convert_f32(const float* __restrict from, int64_t n, float scale, float* __restrict out) {
  uint32_t carries = 0;
  for (int64_t i = 0; i < n; ++i) {
    carries |= (as_bits(from[i]) & ~kSign) + kOne;
    out[i] = scale * from[i];
  }
  return (carries & kSign) == 0;
}

bool convert_bf16(const uint16_t* __restrict from, int64_t n, float scale, float* __restrict out) {
  uint32_t carries = 0;
  for (int64_t i = 0; i < n; ++i) {
    const uint32_t bits = static_cast<uint32_t>(from[i]) << 16;
    carries |= (bits & ~kSign) + kOne;
    out[i] = scale * as_float(bits);
  }
  return (carries & kSign) == 0;
}

// The exponent is shifted into its place, and its bias made right by one multiplication: exact for normal
// and subnormal halves.
bool convert_f16(const uint16_t* __restrict from, int64_t n, float scale, float* __restrict out) {
  uint32_t carries = 0;
  for (int64_t i = 0; i < n; ++i) {
    const uint32_t half = from[i];
    const uint32_t magnitude = (half & 0x7fffu) << 13;
    carries |= magnitude + (0x0400u << 13);
    const uint32_t bits = as_bits(as_float(magnitude) * 0x1p112f) | (half & 0x8000u) << 16;
    out[i] = scale * as_float(bits);
  }
  return (carries & 0x8000u << 13) == 0;
}

}  // namespace

const Converters& SAEMILL_CONVERTERS() {
  static constexpr Converters kTable{SAEMILL_ISA, convert_f32, convert_f16, convert_bf16};
  return kTable;
}

}  // namespace saemill
