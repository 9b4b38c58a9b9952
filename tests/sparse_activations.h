// Activations that a sparse code can learn: sums of three of forty directions, and a little noise.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <filesystem>
#include <string>

#include "common/base/file.h"
#include "common/base/random.h"

namespace saemill {

// An .npy of float32.
inline void write_sparse_activations(const std::filesystem::path& path, int64_t rows, int64_t width) {
  std::string header =
      fmt::format("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, {}), }}", rows, width);
  header += std::string(64 - (10 + header.size() + 1) % 64, ' ') + "\n";
  std::string bytes("\x93NUMPY\x01\x00", 8);
  const auto size = static_cast<uint16_t>(header.size());
  bytes.append(reinterpret_cast<const char*>(&size), 2).append(header);
  for (uint64_t r = 0; r < static_cast<uint64_t>(rows); ++r)
    for (uint64_t i = 0; i < static_cast<uint64_t>(width); ++i) {
      double value = 0.05 * random_normal(3, r, i);
      for (uint64_t part = 0; part < 3; ++part) value += random_normal(1, random_bits(2, r, part) % 40, i);
      const auto number = static_cast<float>(value);
      bytes.append(reinterpret_cast<const char*>(&number), sizeof number);
    }
  write_file_atomically(real_file_system(), path, bytes);
}

}  // namespace saemill
