#include "engine/comm/shm/shared_segment.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <map>
#include <mutex>
#include <string>
#include <tuple>

#include "common/base/error.h"
#include "common/base/memory.h"

namespace saemill {
namespace {

constexpr size_t kLargest = size_t{1} << 60;  // well inside off_t, so sums of two sizes cannot wrap

std::byte* map_file(int fd, size_t begin, size_t bytes) {
  void* memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, static_cast<off_t>(begin));
  if (memory == MAP_FAILED)
    fail(ErrorCode::retry, "cannot map {} bytes of shared memory: {}", bytes, std::strerror(errno));
  return static_cast<std::byte*>(memory);
}

#ifdef __SANITIZE_THREAD__
// ThreadSanitizer follows addresses. With a mapping per rank it would see neither the races nor the
// synchronization between ranks that are threads, so under it they get one mapping.
struct CommonMapping {
  std::byte* memory = nullptr;
  int users = 0;
};
std::mutex common_mutex;
std::map<std::tuple<dev_t, ino_t, size_t>, CommonMapping> common_mappings;

std::byte* acquire_mapping(int fd, size_t begin, size_t bytes) {
  struct stat status {};
  if (::fstat(fd, &status) != 0) fail(ErrorCode::retry, "fstat of shared memory: {}", std::strerror(errno));
  const std::lock_guard lock(common_mutex);
  CommonMapping& mapping = common_mappings[{status.st_dev, status.st_ino, begin}];
  if (mapping.users++ == 0) mapping.memory = map_file(fd, begin, bytes);
  return mapping.memory;
}

void release_mapping(std::byte* memory, size_t bytes) {
  const std::lock_guard lock(common_mutex);
  for (auto it = common_mappings.begin(); it != common_mappings.end(); ++it) {
    if (it->second.memory != memory) continue;
    if (--it->second.users > 0) return;
    common_mappings.erase(it);
    break;
  }
  ::munmap(memory, bytes);
}
#else
std::byte* acquire_mapping(int fd, size_t begin, size_t bytes) {
  return map_file(fd, begin, bytes);
}

void release_mapping(std::byte* memory, size_t bytes) {
  ::munmap(memory, bytes);
}
#endif

}  // namespace

size_t round_to_page(size_t bytes) {
  static const auto page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  if (bytes > kLargest) fail(ErrorCode::retry, "no room for {} bytes of shared memory", bytes);
  return (bytes + page - 1) / page * page;
}

SharedSegment::SharedSegment(int fd) : fd_(::fcntl(fd, F_DUPFD_CLOEXEC, 0)) {
  if (fd_ < 0)
    fail(ErrorCode::internal, "descriptor {} is not the shared memory: {}", fd, std::strerror(errno));
}

SharedSegment::~SharedSegment() {
  for (const Piece& piece : pieces_) release_mapping(piece.memory, piece.bytes);
  ::close(fd_);
}

void SharedSegment::reserve(size_t begin, size_t bytes) {
  // A memfd has no limit of its own: taking more than there is ends with the OOM killer, not with an error.
  if (const auto available = static_cast<size_t>(available_memory()); bytes > available)
    fail(ErrorCode::retry, "no room for {} bytes of shared memory: {} bytes are available on this machine",
         bytes, available);
  // fallocate() also sets the length. No ftruncate() before it: that would cut what a faster rank has grown.
  while (::fallocate(fd_, 0, static_cast<off_t>(begin), static_cast<off_t>(bytes)) != 0)
    if (errno != EINTR)
      fail(ErrorCode::retry, "no room for {} bytes of shared memory, {} taken already: {}", bytes, begin,
           std::strerror(errno));
}

std::byte* SharedSegment::map(size_t begin, size_t bytes) {
  pieces_.reserve(pieces_.size() + 1);
  pieces_.push_back({acquire_mapping(fd_, begin, bytes), begin, bytes});
  return pieces_.back().memory;
}

std::optional<uint64_t> SharedSegment::offset_of(const std::byte* address, size_t bytes) const {
  const auto first = reinterpret_cast<uintptr_t>(address);
  for (const Piece& piece : pieces_) {
    const auto memory = reinterpret_cast<uintptr_t>(piece.memory);
    if (first >= memory && bytes <= piece.bytes && first - memory <= piece.bytes - bytes)
      return piece.begin + (first - memory);
  }
  return std::nullopt;
}

}  // namespace saemill
