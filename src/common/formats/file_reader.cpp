#include "common/formats/file_reader.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "common/base/error.h"

namespace saemill {
namespace {

// What is there is wrong, or the machine is at the moment: a checkpoint that cannot be read just now is not
// a damaged one.
ErrorCode code_of(int error) {
  for (const int lasting : {ENOENT, ENOTDIR, EISDIR, ELOOP, ENAMETOOLONG, ENXIO, EACCES, EPERM})
    if (error == lasting) return ErrorCode::bad_data;
  return ErrorCode::retry;
}

}  // namespace

// O_NONBLOCK: opening a named pipe must not wait for a writer. It has no effect on regular files.
FileReader::FileReader(const std::filesystem::path& path)
    : path_(path), fd_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {
  if (fd_ < 0) {
    const int error = errno;
    fail(code_of(error), "{}: cannot be read: {}", path.string(), std::strerror(error));
  }
  struct stat status {};
  const bool known = ::fstat(fd_, &status) == 0;
  if (!known || !S_ISREG(status.st_mode)) {
    ::close(fd_);
    fail(ErrorCode::bad_data, "{}: is not a regular file; a regular file is accepted", path.string());
  }
  size_ = static_cast<uint64_t>(status.st_size);
}

FileReader::~FileReader() {
  ::close(fd_);
}

void FileReader::read_at(uint64_t offset, std::span<std::byte> out) const {
  while (!out.empty()) {
    const ssize_t n = ::pread(fd_, out.data(), out.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      const int error = errno;
      fail(code_of(error), "{}: cannot be read at byte {}: {}", path_.string(), offset, std::strerror(error));
    }
    if (n == 0) {
      fail(ErrorCode::bad_data, "{}: ends at byte {}; {} more bytes were expected", path_.string(), offset,
           out.size());
    }
    out = out.subspan(static_cast<size_t>(n));
    offset += static_cast<uint64_t>(n);
  }
}

}  // namespace saemill
