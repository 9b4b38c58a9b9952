// CPU ranks on one machine: a segment that all map. What the ranks exchange lies in it already, so most
// collectives are one barrier; other memory passes through a bounded scratch area.
#include <fcntl.h>
#include <linux/futex.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <vector>

#include "common/base/clock.h"
#include "common/base/error.h"
#include "engine/comm/communicator.h"
#include "engine/comm/shm/control_page.h"

namespace saemill {
namespace {

enum Operation : uint32_t {
  kJoin,
  kAllocate,
  kAllGather,
  kAllReduce,
  kReduceScatter,
  kAllToAll,
  kBroadcast,
  kBarrier
};
constexpr const char* kNames[] = {"join",           "allocate",   "all_gather", "all_reduce",
                                  "reduce_scatter", "all_to_all", "broadcast",  "barrier"};
constexpr size_t kPage = 4096;

size_t round_to_page(size_t bytes) {
  return (bytes + kPage - 1) / kPage * kPage;
}

// The letter of /proc/PID/stat; 0 where there is no such process. Never kill(pid, 0): a zombie answers that.
char process_state(int pid) {
  std::ifstream stat("/proc/" + std::to_string(pid) + "/stat");
  std::string text;
  std::getline(stat, text);
  const size_t end = text.rfind(')');
  return end == std::string::npos || end + 2 >= text.size() ? '\0' : text[end + 2];
}

class ShmCommunicator final : public Communicator {
 public:
  explicit ShmCommunicator(const ShmOptions& options) : options_(options) {
    if (options.size < 1 || options.size > kMaxRanks || options.rank < 0 || options.rank >= options.size)
      fail(ErrorCode::usage, "rank {} of {}; accepted: 0 <= rank < size <= {}", options.rank, options.size,
           kMaxRanks);
    fd_ = ::fcntl(options.memory_fd, F_DUPFD_CLOEXEC, 0);
    if (fd_ < 0)
      fail(ErrorCode::internal, "descriptor {} is not the shared memory: {}", options.memory_fd,
           std::strerror(errno));
    const size_t head = round_to_page(sizeof(ControlPage)) + static_cast<size_t>(size()) * kScratchBytes;
    reserve(head);
    std::byte* memory = map(0, head);
    page_ = reinterpret_cast<ControlPage*>(memory);
    scratch_ = memory + round_to_page(sizeof(ControlPage));
    end_ = head;
    cpu_set_t cores;
    spins_ = ::sched_getaffinity(0, sizeof cores, &cores) == 0 && CPU_COUNT(&cores) >= size() ? 2000 : 0;
    self().pid = static_cast<int32_t>(::getpid());
    enter(kJoin, static_cast<uint64_t>(size()));
  }
  ShmCommunicator(const ShmCommunicator&) = delete;
  ShmCommunicator& operator=(const ShmCommunicator&) = delete;
  ~ShmCommunicator() override {
    for (const auto& piece : pieces_) ::munmap(piece.data(), piece.size());
    ::close(fd_);
  }

  int rank() const override { return options_.rank; }
  int size() const override { return options_.size; }
  bool is_shared() const override { return true; }
  double wait_seconds() const override { return waited_; }

  std::byte* allocate(size_t bytes) override {
    const size_t begin = end_, count = round_to_page(std::max<size_t>(bytes, 1));
    if (rank() == 0) {
      try {
        reserve(begin + count);
      } catch (const Error& error) {
        abort(error.what());
        throw;
      }
    }
    enter(kAllocate, bytes);
    end_ += count;
    std::byte* memory = map(static_cast<off_t>(begin), count);
    arena_.emplace_back(memory, count);
    return memory;
  }

  void all_gather(std::byte* buffer, std::span<const size_t> bounds) override {
    ensure(bounds.size() == static_cast<size_t>(size()) + 1,
           "all_gather needs one bound more than there are ranks");
    if (in_arena(buffer)) return enter(kAllGather, bounds.back());
    size_t largest = 0;
    for (size_t r = 0; r + 1 < bounds.size(); ++r) largest = std::max(largest, bounds[r + 1] - bounds[r]);
    const auto part = [&](int r, size_t offset) {
      const size_t first =
          std::min(bounds[static_cast<size_t>(r)] + offset, bounds[static_cast<size_t>(r) + 1]);
      return std::span(buffer + first, std::min(kScratchBytes, bounds[static_cast<size_t>(r) + 1] - first));
    };
    for (size_t offset = 0; offset < std::max<size_t>(largest, 1); offset += kScratchBytes) {
      const auto mine = part(rank(), offset);
      std::memcpy(scratch(rank()), mine.data(), mine.size());
      enter(kAllGather, bounds.back());
      for (int r = 0; r < size(); ++r)
        if (const auto theirs = part(r, offset); r != rank() && !theirs.empty())
          std::memcpy(theirs.data(), scratch(r), theirs.size());
      enter(kAllGather, bounds.back());
    }
  }

  void all_reduce(std::span<double> values, Reduce op) override { reduce(values, op); }
  void all_reduce(std::span<float> values, Reduce op) override { reduce(values, op); }

  void reduce_scatter(std::span<const float> values, std::span<const size_t> bounds,
                      std::span<float> mine) override {
    std::vector<float> all(values.begin(), values.end());
    reduce(std::span<float>(all), Reduce::sum, kReduceScatter);
    const auto r = static_cast<size_t>(rank());
    std::copy(all.begin() + static_cast<std::ptrdiff_t>(bounds[r]),
              all.begin() + static_cast<std::ptrdiff_t>(bounds[r + 1]), mine.begin());
  }

  void all_to_all(const std::byte* send, std::byte* receive, size_t block_bytes) override {
    const size_t piece = kScratchBytes / static_cast<size_t>(size());
    for (size_t offset = 0; offset < block_bytes; offset += piece) {
      const size_t count = std::min(piece, block_bytes - offset);
      for (int r = 0; r < size(); ++r)
        std::memcpy(scratch(rank()) + static_cast<size_t>(r) * piece,
                    send + static_cast<size_t>(r) * block_bytes + offset, count);
      enter(kAllToAll, block_bytes);
      for (int r = 0; r < size(); ++r)
        std::memcpy(receive + static_cast<size_t>(r) * block_bytes + offset,
                    scratch(r) + static_cast<size_t>(rank()) * piece, count);
      enter(kAllToAll, block_bytes);
    }
  }

  void broadcast(std::byte* buffer, size_t bytes, int root) override {
    if (in_arena(buffer)) return enter(kBroadcast, bytes);
    for (size_t offset = 0; offset < std::max<size_t>(bytes, 1); offset += kScratchBytes) {
      const size_t count = std::min(kScratchBytes, bytes - offset);
      if (rank() == root) std::memcpy(scratch(root), buffer + offset, count);
      enter(kBroadcast, bytes);
      if (rank() != root) std::memcpy(buffer + offset, scratch(root), count);
      enter(kBroadcast, bytes);
    }
  }

  void barrier() override { enter(kBarrier, 0); }

  void abort(const std::string& reason) noexcept override {
    uint32_t none = 0;
    if (page_->aborted.compare_exchange_strong(none, 1)) {
      std::strncpy(page_->reason, reason.c_str(), kReasonBytes - 1);
      page_->aborted.store(2, std::memory_order_release);
    }
    ring();
  }

 private:
  RankSlot& self() { return page_->ranks[rank()]; }
  std::byte* scratch(int r) const { return scratch_ + static_cast<size_t>(r) * kScratchBytes; }

  bool in_arena(const std::byte* address) const {
    return std::any_of(arena_.begin(), arena_.end(), [&](const auto& piece) {
      return address >= piece.data() && address < piece.data() + piece.size();
    });
  }

  // Takes the memory now: later there would be SIGBUS instead of an error.
  void reserve(size_t bytes) {
    while (::fallocate(fd_, 0, 0, static_cast<off_t>(bytes)) != 0)
      if (errno != EINTR)
        fail(ErrorCode::retry, "no room for {} bytes of shared memory: {}", bytes, std::strerror(errno));
  }

  std::byte* map(off_t offset, size_t bytes) {
    void* memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd_, offset);
    if (memory == MAP_FAILED)
      fail(ErrorCode::retry, "cannot map {} bytes of shared memory: {}", bytes, std::strerror(errno));
    pieces_.emplace_back(static_cast<std::byte*>(memory), bytes);
    return static_cast<std::byte*>(memory);
  }

  template <typename T>
  void reduce(std::span<T> values, Reduce op, Operation name = kAllReduce) {
    const size_t piece = kScratchBytes / sizeof(T);
    for (size_t offset = 0; offset < values.size(); offset += piece) {
      const auto mine = values.subspan(offset, std::min(piece, values.size() - offset));
      std::memcpy(scratch(rank()), mine.data(), mine.size_bytes());
      enter(name, values.size_bytes());
      for (int r = 0; r < size(); ++r) {
        const T* theirs = reinterpret_cast<const T*>(scratch(r));
        for (size_t i = 0; i < mine.size(); ++i) {
          if (r == 0)
            mine[i] = theirs[i];
          else if (op == Reduce::sum)
            mine[i] += theirs[i];
          else
            mine[i] = op == Reduce::min ? std::min(mine[i], theirs[i]) : std::max(mine[i], theirs[i]);
        }
      }
      enter(name, values.size_bytes());
    }
  }

  // Arrives at the next phase and waits until all have.
  void enter(Operation operation, uint64_t bytes) {
    check_abort();
    const uint64_t phase = phase_++;
    RankSlot& mine = self();
    mine.operation.store(operation, std::memory_order_relaxed);
    mine.bytes.store(bytes, std::memory_order_relaxed);
    mine.arrived.store(phase + 1, std::memory_order_release);
    std::atomic<uint64_t>& count = page_->count[phase % 2];
    if (count.fetch_add(1, std::memory_order_acq_rel) + 1 == static_cast<uint64_t>(size())) {
      count.store(0, std::memory_order_relaxed);
      check_agreement(phase);
      page_->phase.store(phase + 1, std::memory_order_release);
      ring();
      return;
    }
    wait(phase, operation);
  }

  // By the last to arrive, which may read all slots: nobody can go on before it says so.
  void check_agreement(uint64_t phase) {
    const uint32_t operation = self().operation.load(std::memory_order_relaxed);
    const uint64_t bytes = self().bytes.load(std::memory_order_relaxed);
    for (int r = 0; r < size(); ++r) {
      const uint32_t theirs = page_->ranks[r].operation.load(std::memory_order_relaxed);
      const uint64_t their_bytes = page_->ranks[r].bytes.load(std::memory_order_relaxed);
      if (theirs == operation && their_bytes == bytes) continue;
      const std::string reason =
          fmt::format("collective #{}: rank {} calls {} of {} bytes, rank {} calls {} of {}", phase, rank(),
                      kNames[operation], bytes, r, kNames[theirs], their_bytes);
      abort(reason);
      throw Error(ErrorCode::internal, reason);
    }
  }

  void wait(uint64_t phase, Operation operation) {
    const double start = monotonic_seconds();
    const auto done = [&] { return page_->phase.load(std::memory_order_acquire) > phase; };
    for (int spin = 0; spin < spins_ && !done(); ++spin) __builtin_ia32_pause();
    while (!done()) {
      const uint32_t bell = page_->bell.load(std::memory_order_acquire);
      if (done()) break;
      check_abort();
      const timespec slice{0, 50'000'000};
      ::syscall(SYS_futex, &page_->bell, FUTEX_WAIT, bell, &slice, nullptr, 0);
      if (!done()) check_peers(phase, operation, monotonic_seconds() - start);
    }
    check_abort();
    waited_ += monotonic_seconds() - start;
  }

  void check_abort() const {
    if (page_->aborted.load(std::memory_order_acquire) == 0) return;
    while (page_->aborted.load(std::memory_order_acquire) == 1) ::sched_yield();
    throw Error(ErrorCode::retry, page_->reason);
  }

  void check_peers(uint64_t phase, Operation operation, double waited) {
    check_abort();
    for (int r = 0; r < size(); ++r) {
      const RankSlot& slot = page_->ranks[r];
      const int pid = slot.pid.load();
      if (slot.arrived.load(std::memory_order_acquire) > phase) continue;
      const char state = pid == 0 || pid == ::getpid() ? 'R' : process_state(pid);
      if (page_->phase.load(std::memory_order_acquire) > phase ||
          slot.arrived.load(std::memory_order_acquire) > phase)
        continue;
      if (state == '\0' || state == 'Z' || state == 'X')
        give_up(fmt::format("rank {} (pid {}) is gone; the others wait in {} #{}", r, pid, kNames[operation],
                            phase));
      if (waited > options_.deadline_seconds)
        give_up(fmt::format("rank {} did not reach {} #{} within {} s (pid {}, state {})", r,
                            kNames[operation], phase, options_.deadline_seconds, pid, state));
    }
  }

  [[noreturn]] void give_up(const std::string& reason) {
    abort(reason);
    throw Error(ErrorCode::retry, reason);
  }

  void ring() noexcept {
    page_->bell.fetch_add(1, std::memory_order_acq_rel);
    ::syscall(SYS_futex, &page_->bell, FUTEX_WAKE, kMaxRanks, nullptr, nullptr, 0);
  }

  ShmOptions options_;
  int fd_ = -1;
  ControlPage* page_ = nullptr;
  std::byte* scratch_ = nullptr;
  size_t end_ = 0;  // of the segment so far
  uint64_t phase_ = 0;
  int spins_ = 0;
  double waited_ = 0;
  std::vector<std::span<std::byte>> pieces_, arena_;
};

}  // namespace

std::unique_ptr<Communicator> make_shm_communicator(const ShmOptions& options) {
  return std::make_unique<ShmCommunicator>(options);
}

}  // namespace saemill
