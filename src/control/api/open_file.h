// A regular file, opened for reading. What was checked is what is read, whatever happens to its name.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "control/api/owned_fd.h"

namespace saemill::api {

// Thread-safe.
class OpenFile {
 public:
  // Of what fstat() has found to be a regular file.
  OpenFile(OwnedFd fd, std::string name, int64_t size, std::string etag)
      : fd_(std::move(fd)), name_(std::move(name)), size_(size), etag_(std::move(etag)) {}

  const std::string& name() const { return name_; }
  int64_t size() const { return size_; }             // when it was opened
  const std::string& etag() const { return etag_; }  // strong, quoted

  // Fewer bytes than asked for: the file ends there. Error{retry}: it cannot be read.
  size_t read(int64_t offset, std::span<char> into) const;

 private:
  OwnedFd fd_;
  std::string name_;
  int64_t size_;
  std::string etag_;
};

}  // namespace saemill::api
