// Requests of one peer: so many at once, so many a second (a token bucket).
#pragma once

#include <algorithm>
#include <string>
#include <unordered_map>

namespace saemill::net {

struct Rate {
  double per_second = 500, burst = 1000;
};

// Not thread-safe. Times are monotonic seconds.
class RateLimit {
 public:
  explicit RateLimit(Rate rate) : rate_(rate) {}

  bool allow(const std::string& peer, double now) {
    if (buckets_.size() > kMostPeers)
      std::erase_if(buckets_, [&](const auto& one) { return filled(one.second, now) >= rate_.burst; });
    // A crowd of peers, none of which is quiet: forgetting them all is cheaper than refusing everybody.
    if (buckets_.size() > kMostPeers) buckets_.clear();
    Bucket& bucket = buckets_.try_emplace(peer, Bucket{rate_.burst, now}).first->second;
    bucket = {filled(bucket, now), now};
    if (bucket.tokens < 1) return false;
    bucket.tokens -= 1;
    return true;
  }

 private:
  struct Bucket {
    double tokens, at;
  };
  static constexpr size_t kMostPeers = 10000;
  double filled(const Bucket& bucket, double now) const {
    return std::min(rate_.burst, bucket.tokens + rate_.per_second * (now - bucket.at));
  }

  Rate rate_;
  std::unordered_map<std::string, Bucket> buckets_;
};

}  // namespace saemill::net
