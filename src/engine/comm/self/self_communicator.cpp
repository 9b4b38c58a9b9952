// One rank: every collective is the identity.
#include <sys/mman.h>

#include <atomic>
#include <cstring>
#include <mutex>
#include <vector>

#include "common/base/error.h"
#include "engine/comm/communicator.h"

namespace saemill {
namespace {

class SelfCommunicator final : public Communicator {
 public:
  SelfCommunicator() = default;
  SelfCommunicator(const SelfCommunicator&) = delete;
  SelfCommunicator& operator=(const SelfCommunicator&) = delete;
  ~SelfCommunicator() override {
    for (const auto& piece : pieces_) ::munmap(piece.data(), piece.size());
  }
  int rank() const override { return 0; }
  int size() const override { return 1; }

  std::byte* allocate(size_t bytes) override {
    check();
    bytes = bytes == 0 ? 1 : bytes;
    pieces_.reserve(pieces_.size() + 1);
    void* memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) fail(ErrorCode::retry, "no memory for {} bytes", bytes);
    pieces_.emplace_back(static_cast<std::byte*>(memory), bytes);
    return pieces_.back().data();
  }
  bool is_shared() const override { return true; }

  void all_gather(std::byte*, std::span<const size_t> bounds) override {
    check();
    check_bounds(bounds);
  }
  void all_reduce(std::span<double>, Reduce) override { check(); }
  void all_reduce(std::span<float>, Reduce) override { check(); }
  void reduce_scatter(std::span<const float> values, std::span<const size_t> bounds,
                      std::span<float> mine) override {
    check();
    check_bounds(bounds);
    const size_t count = bounds[1] - bounds[0];
    ensure(bounds[1] <= values.size() && count <= mine.size(), "reduce_scatter: the spans are too short");
    if (count > 0) std::memmove(mine.data(), values.data() + bounds[0], count * sizeof(float));
  }
  void all_to_all(const std::byte* send, std::byte* receive, size_t block_bytes) override {
    check();
    if (block_bytes > 0) std::memmove(receive, send, block_bytes);
  }
  void broadcast(std::byte*, size_t, int root) override {
    check();
    ensure(root == 0, "broadcast from a rank that does not exist");
  }
  void barrier() override { check(); }

  void abort(const std::string& reason) noexcept override {
    const std::lock_guard lock(mutex_);
    if (aborted_) return;
    try {
      reason_ = reason;
    } catch (...) {  // without memory for the text the calls must still fail
    }
    aborted_ = true;
  }
  double wait_seconds() const override { return 0; }

 private:
  void check() const {
    if (!aborted_) return;
    const std::lock_guard lock(mutex_);
    throw Error(ErrorCode::retry, reason_.empty() ? "aborted" : reason_);
  }
  static void check_bounds(std::span<const size_t> bounds) {
    ensure(bounds.size() == 2 && bounds[0] <= bounds[1], "bounds must be two ascending numbers");
  }

  std::vector<std::span<std::byte>> pieces_;
  mutable std::mutex mutex_;  // abort() comes from any thread
  std::atomic<bool> aborted_ = false;
  std::string reason_;
};

}  // namespace

std::unique_ptr<Communicator> make_self_communicator() {
  return std::make_unique<SelfCommunicator>();
}

}  // namespace saemill
