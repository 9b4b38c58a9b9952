// Several ranks as threads of one process on one GPU, which NCCL refuses. For tests and benchmarks of
// multi-rank code on a machine with one card.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "engine/comm/exchange.h"
#include "engine/gpu/runtime.h"

namespace saemill {

// Where the threads of the ranks meet; made once, outlives their exchanges. Thread-safe.
class LocalGpuGroup {
 public:
  explicit LocalGpuGroup(int size, double deadline_seconds = 60);

  int size() const { return size_; }
  double deadline_seconds() const { return deadline_; }

  // What a rank shows the others.
  struct Post {
    std::string call;  // the same on all ranks
    std::vector<std::byte*> data;
    std::shared_ptr<const gpu::Event> event;  // recorded
  };
  // Waits for all ranks; returns what they show, by rank. Error{internal} on every rank where the calls
  // differ, Error{retry} on every rank that names those that are late. An event may be recorded again after
  // the next meeting: whoever comes there has made its streams wait for it.
  std::vector<Post> meet(int rank, Post post);

  // Present and later calls of all ranks throw Error{retry} with this reason; the first one counts.
  void abort(const std::string& reason) noexcept;
  void check() const;

 private:
  void check_locked() const;
  std::string late_ranks(uint64_t turn, const std::string& call) const;
  std::string disagreement(const std::vector<Post>& posts) const;

  const int size_;
  const double deadline_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Post> posts_[2];   // of even and odd meetings
  std::vector<uint64_t> turns_;  // meetings that each rank has come to
  bool stopped_ = false;
  std::string reason_;
};

struct LocalGpuOptions {
  int64_t piece_bytes = int64_t{32} << 20;
};

// Called by each rank's thread, with its own compute stream, on the same device. `compute` outlives the
// exchange.
std::unique_ptr<Exchange> make_local_gpu_exchange(LocalGpuGroup& group, int rank, const gpu::Stream& compute,
                                                  const LocalGpuOptions& options = {});

}  // namespace saemill
