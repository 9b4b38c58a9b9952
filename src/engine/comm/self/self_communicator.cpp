// One rank: every collective is the identity.
#include <sys/mman.h>

#include <cstring>
#include <vector>

#include "common/base/error.h"
#include "engine/comm/communicator.h"

namespace saemill {
namespace {

class SelfCommunicator final : public Communicator {
 public:
  ~SelfCommunicator() override {
    for (const auto& piece : pieces_) ::munmap(piece.data(), piece.size());
  }
  int rank() const override { return 0; }
  int size() const override { return 1; }
  std::byte* allocate(size_t bytes) override {
    bytes = bytes == 0 ? 1 : bytes;
    void* memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) fail(ErrorCode::retry, "no memory for {} bytes", bytes);
    pieces_.emplace_back(static_cast<std::byte*>(memory), bytes);
    return pieces_.back().data();
  }
  bool is_shared() const override { return true; }
  void all_gather(std::byte*, std::span<const size_t>) override { check(); }
  void all_reduce(std::span<double>, Reduce) override { check(); }
  void all_reduce(std::span<float>, Reduce) override { check(); }
  void reduce_scatter(std::span<const float> values, std::span<const size_t> bounds,
                      std::span<float> mine) override {
    check();
    std::memcpy(mine.data(), values.data() + bounds[0], (bounds[1] - bounds[0]) * sizeof(float));
  }
  void all_to_all(const std::byte* send, std::byte* receive, size_t block_bytes) override {
    check();
    std::memcpy(receive, send, block_bytes);
  }
  void broadcast(std::byte*, size_t, int) override { check(); }
  void barrier() override { check(); }
  void abort(const std::string& reason) noexcept override { aborted_ = reason.empty() ? "aborted" : reason; }
  double wait_seconds() const override { return 0; }

 private:
  void check() const {
    if (!aborted_.empty()) throw Error(ErrorCode::retry, aborted_);
  }
  std::vector<std::span<std::byte>> pieces_;
  std::string aborted_;
};

}  // namespace

std::unique_ptr<Communicator> make_self_communicator() {
  return std::make_unique<SelfCommunicator>();
}

}  // namespace saemill
