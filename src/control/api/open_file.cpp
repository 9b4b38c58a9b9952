#include "control/api/open_file.h"

#include <cerrno>
#include <cstring>

#include "common/base/error.h"

namespace saemill::api {

size_t OpenFile::read(int64_t offset, std::span<char> into) const {
  size_t done = 0;
  while (done < into.size()) {
    const ssize_t n =
        ::pread(fd_.get(), into.data() + done, into.size() - done, offset + static_cast<int64_t>(done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail(ErrorCode::retry, "{} cannot be read: {}", name_, std::strerror(errno));
    if (n == 0) break;
    done += static_cast<size_t>(n);
  }
  return done;
}

}  // namespace saemill::api
