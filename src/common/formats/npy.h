// The .npy format of NumPy, versions 1 to 3: magic, version, header length, a Python dictionary, one array.
// https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace saemill {

struct NpyHeader {
  std::string dtype;           // "F16" or "F32", as safetensors names them
  std::vector<int64_t> shape;  // two or three extents
  uint64_t data_offset = 0;    // absolute
  uint64_t data_bytes = 0;
};

// `head` holds at least the first min(file_size, kNpyMaxHead) bytes. Accepts <f2 and <f4, two or three
// dimensions, C order, and data that lie wholly in the file. Error{bad_data} names `path`, what was found and
// what is accepted.
constexpr uint64_t kNpyMaxHead = uint64_t{1} << 16;
NpyHeader parse_npy_header(std::span<const std::byte> head, uint64_t file_size, const std::string& path);
NpyHeader read_npy_header(const std::filesystem::path& path);

}  // namespace saemill
