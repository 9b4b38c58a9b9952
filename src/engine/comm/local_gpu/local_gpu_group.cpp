#include <algorithm>
#include <chrono>

#include "common/base/error.h"
#include "engine/comm/local_gpu/local_gpu_exchange.h"

namespace saemill {

LocalGpuGroup::LocalGpuGroup(int size, double deadline_seconds)
    : size_(size), deadline_(deadline_seconds), turns_(static_cast<size_t>(size), 0) {
  ensure(size > 0, "a group of no ranks");
  for (auto& posts : posts_) posts.resize(static_cast<size_t>(size));
}

std::vector<LocalGpuGroup::Post> LocalGpuGroup::meet(int rank, Post post) {
  std::unique_lock lock(mutex_);
  const std::string call = post.call;
  const uint64_t turn = turns_.at(static_cast<size_t>(rank))++;
  std::vector<Post>& posts = posts_[turn % 2];
  posts[static_cast<size_t>(rank)] = std::move(post);
  changed_.notify_all();
  const auto all_came = [&] {
    return std::all_of(turns_.begin(), turns_.end(), [turn](uint64_t came) { return came > turn; });
  };
  const bool met = changed_.wait_for(lock, std::chrono::duration<double>(deadline_),
                                     [&] { return stopped_ || all_came(); });
  check_locked();
  if (!met) {
    const std::string reason = late_ranks(turn, call);
    lock.unlock();
    abort(reason);
    throw Error(ErrorCode::retry, reason);
  }
  const std::string difference = disagreement(posts);
  ensure(difference.empty(), difference.c_str());
  return posts;
}

void LocalGpuGroup::abort(const std::string& reason) noexcept {
  const std::lock_guard lock(mutex_);
  if (!stopped_) reason_ = reason;
  stopped_ = true;
  changed_.notify_all();
}

void LocalGpuGroup::check() const {
  const std::lock_guard lock(mutex_);
  check_locked();
}

void LocalGpuGroup::check_locked() const {
  if (stopped_) throw Error(ErrorCode::retry, reason_);
}

std::string LocalGpuGroup::late_ranks(uint64_t turn, const std::string& call) const {
  std::string text;
  for (size_t r = 0; r < turns_.size(); ++r)
    if (turns_[r] <= turn)
      text += fmt::format("{}rank {} did not reach {} (call {}) within {:g} s", text.empty() ? "" : "; ", r,
                          call, turn, deadline_);
  return text;
}

// Every rank compares, so every rank fails.
std::string LocalGpuGroup::disagreement(const std::vector<Post>& posts) const {
  for (size_t r = 1; r < posts.size(); ++r)
    if (posts[r].call != posts[0].call)
      return fmt::format("ranks make different calls: rank 0 {}, rank {} {}", posts[0].call, r,
                         posts[r].call);
  return "";
}

}  // namespace saemill
