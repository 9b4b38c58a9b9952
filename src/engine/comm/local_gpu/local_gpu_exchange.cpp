#include "engine/comm/local_gpu/local_gpu_exchange.h"

#include <array>

#include "common/base/error.h"
#include "engine/comm/streamed/streamed_exchange.h"

namespace saemill {
namespace {

std::string describe(const char* operation, const std::vector<Share>& shares) {
  std::string text = operation;
  for (const Share& share : shares) text += fmt::format(" {}", fmt::join(share.bounds, ":"));  // of bytes
  return text;
}

// Each rank copies what it lacks out of the others' memory.
class LocalGpuExchange final : public StreamedExchange {
 public:
  LocalGpuExchange(LocalGpuGroup& group, int rank, const gpu::Stream& compute, const LocalGpuOptions& options)
      : StreamedExchange(rank, group.size(), compute, options.piece_bytes, group.deadline_seconds()),
        group_(group) {
    for (auto& event : events_) event = std::make_shared<gpu::Event>();
  }

  std::string name() const override { return "one gpu"; }

  // Others read this rank's memory on their own streams, so its compute stream waits for them.
  void fence() override {
    ensure_all_awaited();
    const auto posts = meet({"fence", {}, nullptr});
    for (int r = 0; r < size(); ++r)
      if (r != rank()) posts[static_cast<size_t>(r)].event->make_wait(compute());
  }

 private:
  void move(const char* operation, const std::vector<Share>& shares) override {
    LocalGpuGroup::Post mine{describe(operation, shares), {}, nullptr};
    for (const Share& share : shares) mine.data.push_back(share.data);
    const auto posts = meet(std::move(mine));
    for (int owner = 0; owner < size(); ++owner) {
      if (owner == rank()) continue;
      const LocalGpuGroup::Post& theirs = posts[static_cast<size_t>(owner)];
      theirs.event->make_wait(transfers());
      for (size_t i = 0; i < shares.size(); ++i) {
        const size_t offset = shares[i].bounds[static_cast<size_t>(owner)];
        gpu::copy(shares[i].data + offset, theirs.data[i] + offset, shares[i].bytes_of(owner), transfers());
      }
    }
  }

  // The event says that this rank's transfers so far are done, and what its compute stream had written
  // before them.
  std::vector<LocalGpuGroup::Post> meet(LocalGpuGroup::Post mine) {
    const auto& event = events_[meetings_++ % events_.size()];
    event->record(transfers());
    mine.event = event;
    return group_.meet(rank(), std::move(mine));
  }

  void check_transport(const char*) override { group_.check(); }
  void give_up(const std::string& reason) override {
    group_.abort(reason);
    throw Error(ErrorCode::retry, reason);
  }

  LocalGpuGroup& group_;
  std::array<std::shared_ptr<gpu::Event>, 2> events_;  // in turn
  size_t meetings_ = 0;
};

}  // namespace

std::unique_ptr<Exchange> make_local_gpu_exchange(LocalGpuGroup& group, int rank, const gpu::Stream& compute,
                                                  const LocalGpuOptions& options) {
  ensure(0 <= rank && rank < group.size(), "a rank outside of its group");
  return std::make_unique<LocalGpuExchange>(group, rank, compute, options);
}

}  // namespace saemill
