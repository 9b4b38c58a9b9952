// The memfd that the ranks of one machine share, and this rank's mappings of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace saemill {

// Not thread-safe. Unmaps everything at its end; the descriptor given stays the caller's.
class SharedSegment {
 public:
  explicit SharedSegment(int fd);
  SharedSegment(const SharedSegment&) = delete;
  SharedSegment& operator=(const SharedSegment&) = delete;
  ~SharedSegment();

  // Takes the memory of [begin, begin + bytes) now, since later there would be SIGBUS instead of an error,
  // and grows the file to hold it. Error{retry} naming the bytes asked. Any rank may repeat it.
  void reserve(size_t begin, size_t bytes);
  // Mapped at an address of this rank's own. Error{retry}.
  std::byte* map(size_t begin, size_t bytes);
  // Where in the segment [address, address + bytes) lies, when it lies in one mapping of it.
  std::optional<uint64_t> offset_of(const std::byte* address, size_t bytes) const;

 private:
  struct Piece {
    std::byte* memory;
    size_t begin, bytes;
  };
  int fd_;
  std::vector<Piece> pieces_;
};

size_t round_to_page(size_t bytes);

}  // namespace saemill
