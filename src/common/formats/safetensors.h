// The safetensors format: 8 bytes of little-endian header length, a JSON header, tensor data.
// https://github.com/huggingface/safetensors#format
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/file.h"

namespace saemill {

// Types we read or write: F64, F32, F16, BF16, I64, I32, U8. Size in bytes; 0: not one of them.
size_t safetensors_dtype_size(std::string_view dtype);

struct SafetensorsEntry {
  std::string dtype;
  std::vector<int64_t> shape;
  uint64_t begin = 0;  // absolute offset in the file
  uint64_t bytes = 0;
};

struct SafetensorsHeader {
  std::map<std::string, SafetensorsEntry> tensors;
  std::map<std::string, std::string> metadata;  // __metadata__
};

// `head` holds at least the first min(file_size, 8 + header length) bytes. Checks everything against
// file_size: header length (at most 100 MB), JSON, dtypes, shapes, offsets inside the file, sizes that agree
// with shapes, no overlap. Error{bad_data} names `path`, what was found and what is accepted.
SafetensorsHeader parse_safetensors_header(std::span<const std::byte> head, uint64_t file_size,
                                           const std::string& path);
SafetensorsHeader read_safetensors_header(const fs::path& path);

// One tensor to write: `produce` is called with a sink and passes the tensor's bytes in order, in pieces of
// any size.
struct SafetensorsTensor {
  std::string name;
  std::string dtype;
  std::vector<int64_t> shape;
  std::function<void(const std::function<void(std::span<const std::byte>)>& sink)> produce;
};

struct WrittenFile {
  uint64_t bytes = 0;
  uint32_t crc32c = 0;
};

// Writes PATH (not atomically: the caller renames), syncs it, and returns its size and CRC-32C of all bytes.
// The header is padded to 8 bytes with spaces; tensors lie in the given order; equal input gives equal bytes.
WrittenFile write_safetensors(FileSystem& files, const fs::path& path,
                              const std::vector<SafetensorsTensor>& tensors,
                              const std::map<std::string, std::string>& metadata = {});

// CRC-32C (Castagnoli), continued from `crc` (0 at the start).
uint32_t crc32c(uint32_t crc, std::span<const std::byte> bytes);

}  // namespace saemill
