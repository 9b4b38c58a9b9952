// CPU ranks on one machine: a segment that all map. What the ranks exchange mostly lies in it already, so
// that a collective is one barrier; other memory passes through a bounded scratch area, chunk by chunk.
#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "common/base/error.h"
#include "common/base/random.h"
#include "engine/comm/communicator.h"
#include "engine/comm/shm/rendezvous.h"
#include "engine/comm/shm/shared_segment.h"

namespace saemill {
namespace {

// Scratch of all ranks together, and the bounds of one rank's share: two halves used in turn.
constexpr size_t kScratchTotal = size_t{16} << 20;
constexpr size_t kScratchLeast = size_t{256} << 10;
constexpr size_t kScratchMost = size_t{4} << 20;
// Up to here each rank adds all values itself, which spares the second barrier.
constexpr size_t kSmallReduction = size_t{16} << 10;

size_t half_bytes(int size) {
  const size_t share = kScratchTotal / static_cast<size_t>(size);
  return std::clamp(share, kScratchLeast, kScratchMost) / 2 / 64 * 64;
}

uint64_t combine(uint64_t digest, uint64_t value) {
  return mix64(digest + 0x9e3779b97f4a7c15ULL + mix64(value));
}

uint64_t digest_of(std::span<const size_t> bounds) {
  uint64_t digest = 0;
  for (const size_t bound : bounds) digest = combine(digest, bound);
  return digest;
}

void copy_bytes(void* to, const void* from, size_t bytes) {
  if (bytes > 0) std::memmove(to, from, bytes);  // pointers to no bytes may be null
}

// A NaN of any rank is the least and the greatest, so that it is not lost.
template <typename T>
void accumulate(T* into, const T* values, size_t count, Reduce op) {
  if (op == Reduce::sum) {
    for (size_t i = 0; i < count; ++i) into[i] += values[i];
  } else if (op == Reduce::min) {
    for (size_t i = 0; i < count; ++i)
      if (values[i] < into[i] || values[i] != values[i]) into[i] = values[i];
  } else {
    for (size_t i = 0; i < count; ++i)
      if (values[i] > into[i] || values[i] != values[i]) into[i] = values[i];
  }
}

class ShmCommunicator final : public Communicator {
 public:
  explicit ShmCommunicator(const ShmOptions& options)
      : rank_(checked_rank(options)),
        size_(options.size),
        half_(half_bytes(options.size)),
        segment_(options.memory_fd),
        end_(round_to_page(sizeof(ControlPage)) + round_to_page(2 * half_ * static_cast<size_t>(size_))),
        head_(map_head()),
        meeting_(*reinterpret_cast<ControlPage*>(head_), rank_, size_, options.deadline_seconds) {
    meeting_.join();
  }

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  bool is_shared() const override { return true; }
  double wait_seconds() const override { return meeting_.waited_seconds(); }
  void abort(const std::string& reason) noexcept override { meeting_.stop(ErrorCode::retry, reason); }
  void begin_long_work() noexcept override { meeting_.begin_long_work(); }
  void end_long_work() noexcept override { meeting_.end_long_work(); }
  void barrier() override { meeting_.enter(next(Operation::barrier, 0, 0)); }

  std::byte* allocate(size_t bytes) override {
    meeting_.check();
    const Call call = next(Operation::allocate, bytes, 0);
    try {
      const size_t count = round_to_page(std::max<size_t>(bytes, 1));
      if (rank_ == 0) reserve(count);
      meeting_.enter(call);
      std::byte* memory = segment_.map(end_, count);
      end_ += count;
      return memory;
    } catch (const Error& error) {
      meeting_.stop_and_throw(error.code(), error.what());  // or the others would wait for this rank
    }
  }

  void all_gather(std::byte* buffer, std::span<const size_t> bounds) override {
    check_bounds(bounds);
    const Call call = next_at(Operation::all_gather, buffer, bounds.back(), digest_of(bounds));
    if (in_arena(buffer, bounds.back())) return meeting_.enter(call);
    const size_t widest = widest_of(bounds);
    for (size_t offset = 0; offset == 0 || offset < widest; offset += half_) {
      const auto part = [&](int r) { return part_of(bounds, r, offset, half_); };
      copy_bytes(scratch(rank_), buffer + part(rank_).first, part(rank_).count);
      meeting_.enter(call);
      for (int r = 0; r < size_; ++r)
        if (r != rank_) copy_bytes(buffer + part(r).first, scratch(r), part(r).count);
      other_half();
    }
  }

  void all_reduce(std::span<double> values, Reduce op) override { reduce(values, op); }
  void all_reduce(std::span<float> values, Reduce op) override { reduce(values, op); }

  void reduce_scatter(std::span<const float> values, std::span<const size_t> bounds,
                      std::span<float> mine) override {
    check_bounds(bounds);
    const auto me = static_cast<size_t>(rank_);
    require(bounds.back() <= values.size() && bounds[me + 1] - bounds[me] <= mine.size(),
            "reduce_scatter: the spans are shorter than the bounds say");
    const Call call = next(Operation::reduce_scatter, values.size_bytes(), digest_of(bounds));
    const size_t block = block_bytes() / sizeof(float), widest = widest_of(bounds);
    for (size_t offset = 0; offset == 0 || offset < widest; offset += block) {
      for (int r = 0; r < size_; ++r) {
        const Part part = part_of(bounds, r, offset, block);
        copy_bytes(block_for(rank_, r), values.data() + part.first, part.count * sizeof(float));
      }
      meeting_.enter(call);
      const size_t count = part_of(bounds, rank_, offset, block).count;
      if (count > 0) sum_blocks(mine.data() + offset, count);
      other_half();
    }
  }

  void all_to_all(const std::byte* send, std::byte* receive, size_t bytes) override {
    const Call call = next(Operation::all_to_all, bytes, 0);
    for (size_t offset = 0; offset == 0 || offset < bytes; offset += block_bytes()) {
      const size_t count = std::min(block_bytes(), bytes - offset);
      for (int r = 0; r < size_; ++r)
        copy_bytes(block_for(rank_, r), send + static_cast<size_t>(r) * bytes + offset, count);
      meeting_.enter(call);
      for (int r = 0; r < size_; ++r)
        copy_bytes(receive + static_cast<size_t>(r) * bytes + offset, block_for(r, rank_), count);
      other_half();
    }
  }

  void broadcast(std::byte* buffer, size_t bytes, int root) override {
    require(root >= 0 && root < size_, "broadcast from a rank that does not exist");
    const Call call = next_at(Operation::broadcast, buffer, bytes, static_cast<uint64_t>(root));
    if (in_arena(buffer, bytes)) return meeting_.enter(call);
    for (size_t offset = 0; offset == 0 || offset < bytes; offset += half_) {
      const size_t count = std::min(half_, bytes - offset);
      if (rank_ == root) copy_bytes(scratch(root), buffer + offset, count);
      meeting_.enter(call);
      if (rank_ != root) copy_bytes(buffer + offset, scratch(root), count);
      other_half();
    }
  }

 private:
  struct Part {
    size_t first, count;
  };

  static int checked_rank(const ShmOptions& options) {
    if (options.size < 1 || options.size > kMaxRanks || options.rank < 0 || options.rank >= options.size)
      fail(ErrorCode::usage, "rank {} of {}; accepted: 0 <= rank < size <= {}", options.rank, options.size,
           kMaxRanks);
    return options.rank;
  }

  // Every rank takes the head, since any may be the first.
  std::byte* map_head() {
    segment_.reserve(0, end_);
    return segment_.map(0, end_);
  }

  // The kernel clears what it gives: some seconds for each 10 GB.
  void reserve(size_t count) {
    const LongWork clearing(*this);
    segment_.reserve(end_, count);
  }

  // Also stops the others, who would wait for this rank.
  void require(bool condition, const char* what) {
    if (!condition) meeting_.stop_and_throw(ErrorCode::internal, fmt::format("rank {}: {}", rank_, what));
  }

  void check_bounds(std::span<const size_t> bounds) {
    require(bounds.size() == static_cast<size_t>(size_) + 1 && std::is_sorted(bounds.begin(), bounds.end()),
            "bounds must ascend and have one entry more than there are ranks");
  }

  Call next(Operation operation, size_t bytes, uint64_t detail) {
    return {operation, ++sequence_, bytes, detail};
  }
  // The place matters too: ranks that mean different memory of the arena do not mean the same collective.
  Call next_at(Operation operation, const std::byte* buffer, size_t bytes, uint64_t detail) {
    const uint64_t place = in_arena(buffer, bytes) ? *segment_.offset_of(buffer, bytes) : 0;
    return next(operation, bytes, combine(detail, place));
  }
  bool in_arena(const std::byte* buffer, size_t bytes) const {
    return bytes > 0 && segment_.offset_of(buffer, bytes).has_value();
  }

  static Part part_of(std::span<const size_t> bounds, int r, size_t offset, size_t most) {
    const size_t end = bounds[static_cast<size_t>(r) + 1];
    const size_t first = std::min(bounds[static_cast<size_t>(r)] + offset, end);
    return {first, std::min(most, end - first)};
  }
  static size_t widest_of(std::span<const size_t> bounds) {
    size_t widest = 0;
    for (size_t r = 0; r + 1 < bounds.size(); ++r) widest = std::max(widest, bounds[r + 1] - bounds[r]);
    return widest;
  }

  // The two halves are used in turn, so one barrier per chunk is enough: who writes a half again has passed
  // the barrier of the chunk between, at which nobody arrived before having read this one.
  void other_half() { odd_ = !odd_; }
  std::byte* scratch(int r) const {
    return head_ + round_to_page(sizeof(ControlPage)) +
           (2 * static_cast<size_t>(r) + (odd_ ? 1U : 0U)) * half_;
  }
  // Of a half, for one receiving rank.
  size_t block_bytes() const { return half_ / static_cast<size_t>(size_) / 64 * 64; }
  std::byte* block_for(int from, int to) const {
    return scratch(from) + static_cast<size_t>(to) * block_bytes();
  }

  void sum_blocks(float* into, size_t count) const {
    copy_bytes(into, block_for(0, rank_), count * sizeof(float));
    for (int r = 1; r < size_; ++r)
      accumulate(into, reinterpret_cast<const float*>(block_for(r, rank_)), count, Reduce::sum);
  }

  template <typename T>
  void reduce(std::span<T> values, Reduce op) {
    const Call call =
        next(Operation::all_reduce, values.size_bytes(), combine(static_cast<uint64_t>(op), sizeof(T)));
    const size_t most = half_ / sizeof(T);
    for (size_t offset = 0; offset == 0 || offset < values.size(); offset += most) {
      const auto part = values.subspan(offset, std::min(most, values.size() - offset));
      copy_bytes(scratch(rank_), part.data(), part.size_bytes());
      meeting_.enter(call);
      if (part.size_bytes() <= kSmallReduction)
        reduce_range(part.data(), 0, part.size(), op);
      else
        reduce_slices(part, op, call);
      other_half();
    }
  }

  // Each rank adds its slice, where only it reads, and all take the sums from there.
  template <typename T>
  void reduce_slices(std::span<T> part, Reduce op, const Call& call) {
    const auto ranks = static_cast<size_t>(size_);
    const size_t width = (part.size() + ranks - 1) / ranks;
    const auto begin_of = [&](int r) { return std::min(part.size(), static_cast<size_t>(r) * width); };
    const size_t first = begin_of(rank_), last = begin_of(rank_ + 1);
    reduce_range(reinterpret_cast<T*>(scratch(rank_)) + first, first, last - first, op);
    meeting_.enter(call);
    for (int r = 0; r < size_; ++r) {
      const size_t from = begin_of(r), to = begin_of(r + 1);
      copy_bytes(part.data() + from, reinterpret_cast<const T*>(scratch(r)) + from, (to - from) * sizeof(T));
    }
  }

  // In rank order whichever rank does it. `into` may be this rank's own scratch: a block is read before it
  // is written.
  template <typename T>
  void reduce_range(T* into, size_t first, size_t count, Reduce op) const {
    std::array<T, 512> sums;
    for (size_t done = 0; done < count; done += sums.size()) {
      const size_t block = std::min(sums.size(), count - done);
      for (int r = 0; r < size_; ++r) {
        const T* theirs = reinterpret_cast<const T*>(scratch(r)) + first + done;
        if (r == 0)
          copy_bytes(sums.data(), theirs, block * sizeof(T));
        else
          accumulate(sums.data(), theirs, block, op);
      }
      copy_bytes(into + done, sums.data(), block * sizeof(T));
    }
  }

  const int rank_, size_;
  const size_t half_;
  SharedSegment segment_;
  size_t end_;  // of the segment so far
  std::byte* head_;
  Rendezvous meeting_;
  uint64_t sequence_ = 0;
  bool odd_ = false;  // which half of the scratch is next
};

}  // namespace

std::unique_ptr<Communicator> make_shm_communicator(const ShmOptions& options) {
  return std::make_unique<ShmCommunicator>(options);
}

}  // namespace saemill
