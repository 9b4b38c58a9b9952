// The door to the file system. Everything that must survive a crash is written through FileSystem, so that
// tests can fail or truncate the n-th call. Functions throw Error{retry} naming the path and the cause.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace saemill {

namespace fs = std::filesystem;

// A file opened for writing. Not thread-safe. The destructor closes without syncing; call sync() then
// close().
class OutputFile {
 public:
  virtual ~OutputFile() = default;
  virtual void write(std::span<const std::byte> bytes) = 0;
  virtual void sync() = 0;   // fsync
  virtual void close() = 0;  // reports what close() reports
};

// Stateless but for the real disk; thread-safe.
class FileSystem {
 public:
  virtual ~FileSystem() = default;
  virtual std::unique_ptr<OutputFile> create(const fs::path& path);  // truncates
  virtual void rename(const fs::path& from, const fs::path& to);     // and syncs the parent folder
  virtual void sync_folder(const fs::path& folder);
  virtual void remove_all(const fs::path& path);
  // Bytes that there is still room for; the greatest number where the disk does not say.
  virtual uint64_t available(const fs::path& folder);
};

FileSystem& real_file_system();

// Writes PATH.tmp, syncs, renames: after a crash PATH holds the old or the new content, whole.
void write_file_atomically(FileSystem& files, const fs::path& path, std::string_view content);

std::string read_file(const fs::path& path);  // Error{bad_data} when it cannot be read

}  // namespace saemill
