#include "common/base/file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <limits>

#include "common/base/error.h"

namespace saemill {
namespace {

[[noreturn]] void fail_io(const char* what, const fs::path& path) {
  const int error = errno;
  fail(ErrorCode::retry, "{}: cannot {}: {}", path.string(), what, std::strerror(error));
}

class PosixOutputFile final : public OutputFile {
 public:
  explicit PosixOutputFile(const fs::path& path)
      : path_(path), fd_(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644)) {
    if (fd_ < 0) fail_io("create", path_);
  }
  PosixOutputFile(const PosixOutputFile&) = delete;
  PosixOutputFile& operator=(const PosixOutputFile&) = delete;
  ~PosixOutputFile() override {
    if (fd_ >= 0) ::close(fd_);
  }
  void write(std::span<const std::byte> bytes) override {
    while (!bytes.empty()) {
      const ssize_t n = ::write(fd_, bytes.data(), bytes.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) fail_io("write", path_);
      bytes = bytes.subspan(static_cast<size_t>(n));
    }
  }
  void sync() override {
    if (::fsync(fd_) != 0) fail_io("sync", path_);
  }
  void close() override {
    const int fd = std::exchange(fd_, -1);
    if (::close(fd) != 0) fail_io("close", path_);
  }

 private:
  fs::path path_;
  int fd_;
};

}  // namespace

std::unique_ptr<OutputFile> FileSystem::create(const fs::path& path) {
  return std::make_unique<PosixOutputFile>(path);
}

void FileSystem::rename(const fs::path& from, const fs::path& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) fail_io("rename into place", to);
  sync_folder(to.parent_path().empty() ? fs::path(".") : to.parent_path());
}

void FileSystem::sync_folder(const fs::path& folder) {
  const int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) fail_io("open the folder", folder);
  const int result = ::fsync(fd);
  ::close(fd);
  if (result != 0) fail_io("sync the folder", folder);
}

void FileSystem::remove_all(const fs::path& path) {
  std::error_code error;
  fs::remove_all(path, error);
  if (error) fail(ErrorCode::retry, "{}: cannot remove: {}", path.string(), error.message());
}

uint64_t FileSystem::available(const fs::path& folder) {
  std::error_code error;
  const fs::space_info space = fs::space(folder, error);
  return error || space.capacity == 0 ? std::numeric_limits<uint64_t>::max() : space.available;
}

FileSystem& real_file_system() {
  static FileSystem instance;
  return instance;
}

void write_file_atomically(FileSystem& files, const fs::path& path, std::string_view content) {
  const fs::path temporary = path.string() + ".tmp";
  auto file = files.create(temporary);
  file->write(std::as_bytes(std::span(content.data(), content.size())));
  file->sync();
  file->close();
  files.rename(temporary, path);
}

std::string read_file(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) fail(ErrorCode::bad_data, "{}: cannot be read: {}", path.string(), std::strerror(errno));
  std::string content{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  if (in.bad()) fail(ErrorCode::bad_data, "{}: cannot be read: {}", path.string(), std::strerror(errno));
  return content;
}

}  // namespace saemill
