// Reads byte ranges of a regular file. Everything that goes wrong is Error{bad_data} that names the file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>

namespace saemill {

// The size is that at opening. read_at is thread-safe.
class FileReader {
 public:
  explicit FileReader(const std::filesystem::path& path);
  FileReader(const FileReader&) = delete;
  FileReader& operator=(const FileReader&) = delete;
  ~FileReader();

  uint64_t size() const { return size_; }
  const std::filesystem::path& path() const { return path_; }
  void read_at(uint64_t offset, std::span<std::byte> out) const;  // all of `out`

 private:
  std::filesystem::path path_;
  int fd_ = -1;
  uint64_t size_ = 0;
};

}  // namespace saemill
