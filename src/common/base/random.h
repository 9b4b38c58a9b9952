// Counter-based random numbers: a value is a pure function of (seed, stream, counter), so any rank can
// compute any element and no generator state exists. Mixing function: SplitMix64's finalizer (Steele et al.
// 2014), twice.
#pragma once

#include <cmath>
#include <cstdint>
#include <numbers>

namespace saemill {

constexpr uint64_t mix64(uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}

constexpr uint64_t random_bits(uint64_t seed, uint64_t stream, uint64_t counter) {
  const uint64_t key = mix64(seed + 0x9e3779b97f4a7c15ULL * (stream + 1));
  return mix64(mix64(key + 0x9e3779b97f4a7c15ULL * (counter + 1)) ^ key);
}

// Uniform in (0, 1).
constexpr double random_uniform(uint64_t seed, uint64_t stream, uint64_t counter) {
  return (static_cast<double>(random_bits(seed, stream, counter) >> 11) + 0.5) * 0x1.0p-53;
}

// Standard normal, by Box and Muller from two uniforms.
inline double random_normal(uint64_t seed, uint64_t stream, uint64_t counter) {
  const double u = random_uniform(seed, stream, 2 * counter);
  const double v = random_uniform(seed, stream, 2 * counter + 1);
  return std::sqrt(-2.0 * std::log(u)) * std::cos(2.0 * std::numbers::pi * v);
}

}  // namespace saemill
