// A matrix on the device whose rows the ranks fill, and what the compute stream saw of it in each round.
#pragma once

#include <cstring>
#include <deque>
#include <utility>

#include "ranks.h"

namespace saemill {

class Buffer {
 public:
  Buffer(DType dtype, int64_t cols, std::vector<int64_t> bounds)
      : view_{nullptr, dtype, bounds.back(), cols}, bounds_(std::move(bounds)), device_(view_.bytes()) {
    view_.data = device_.data();
  }

  Gathered gathered() const { return {view_, bounds_}; }
  const View& view() const { return view_; }

  // The compute stream spoils all rows and writes those of `rank`.
  void write(int rank, const gpu::Stream& compute) {
    const size_t first = begin_of(rank), last = begin_of(rank + 1);
    gpu::fill(view_.data, 0xee, view_.bytes(), compute);
    const auto& source = sources_.emplace_back(view_.bytes());
    for (size_t i = 0; i < view_.bytes(); ++i) source.data()[i] = expected(i, sources_.size());
    if (last > first) gpu::copy(view_.data + first, source.data() + first, last - first, compute);
    results_.emplace_back(view_.bytes());
    if (view_.bytes() > 0) std::memset(results_.back().data(), 0, view_.bytes());
  }

  // What the compute stream sees of these rows.
  void read(int64_t first, int64_t last, const gpu::Stream& compute) {
    const size_t from = static_cast<size_t>(first) * view_.row_bytes();
    const size_t to = static_cast<size_t>(last) * view_.row_bytes();
    if (to > from) gpu::copy(results_.back().data() + from, view_.data + from, to - from, compute);
  }
  void read(const gpu::Stream& compute) { read(0, view_.rows, compute); }

  // Bytes that are not what the ranks wrote, over all rounds. The compute stream is done.
  size_t wrong() const {
    size_t count = 0;
    for (size_t round = 0; round < results_.size(); ++round)
      for (size_t i = 0; i < view_.bytes(); ++i)
        count += results_[round].data()[i] != expected(i, round + 1) ? 1 : 0;
    return count;
  }

 private:
  static std::byte expected(size_t i, size_t round) {
    return static_cast<std::byte>((i * 31 + round * 89) % 251);
  }
  size_t begin_of(int rank) const {
    return static_cast<size_t>(bounds_[static_cast<size_t>(rank)]) * view_.row_bytes();
  }

  View view_;
  std::vector<int64_t> bounds_;
  gpu::Memory device_;
  std::deque<gpu::PinnedMemory> sources_, results_;  // of each round
};

// Shares of these numbers of rows, again from the first where there are more ranks.
inline std::vector<int64_t> bounds_of(const std::vector<int64_t>& counts, int ranks) {
  std::vector<int64_t> bounds{0};
  for (size_t r = 0; r < static_cast<size_t>(ranks); ++r)
    bounds.push_back(bounds.back() + counts[r % counts.size()]);
  return bounds;
}

// One of each type, of different widths, with the same rows.
inline std::deque<Buffer> buffers_of(const std::vector<int64_t>& bounds) {
  std::deque<Buffer> buffers;
  int64_t cols = 3;
  for (const DType dtype : {DType::f32, DType::bf16, DType::i64, DType::u8, DType::f32})
    buffers.emplace_back(dtype, cols++, bounds);
  return buffers;
}

inline std::vector<Gathered> gathered(const std::deque<Buffer>& buffers) {
  std::vector<Gathered> all{Gathered{}};  // the first has no memory
  for (const Buffer& buffer : buffers) all.push_back(buffer.gathered());
  return all;
}

}  // namespace saemill
