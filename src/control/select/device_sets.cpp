#include "control/select/device_sets.h"

#include <algorithm>
#include <utility>

namespace saemill {
namespace {

constexpr double kMostSubsets = 20000;

double subsets(size_t n, size_t k) {
  double count = 1;
  for (size_t i = 0; i < k; ++i) count = count * static_cast<double>(n - i) / static_cast<double>(i + 1);
  return count;
}

class Search {
 public:
  Search(const LinkedDevices& devices, size_t count, size_t most)
      : devices_(devices), count_(count), most_(most) {
    for (const auto& row : devices.links) {
      int sum = 0;
      for (const int link : row) sum += link;
      row_sums_.push_back(sum);
      all_ += sum;
    }
    all_ /= 2;  // each pair stands in two rows
  }

  // A set in the making. What it is worth is carried along: 8 of 16 devices are 12,870 sets.
  struct Partial {
    int links = 0, rows = 0, heat = 0;
    int64_t used = 0;
  };

  void all(size_t from, const Partial& so_far) {
    if (places_.size() == count_) return offer(so_far);
    for (size_t next = from; next + (count_ - places_.size()) <= devices_.size(); ++next) {
      const Partial more = with(so_far, next);
      places_.push_back(next);
      all(next + 1, more);
      places_.pop_back();
    }
  }

  // From each device, the one added next is the best linked with those already there, the longest unused of
  // equals.
  void grown() {
    for (size_t seed = 0; seed < devices_.size(); ++seed) {
      places_ = {seed};
      while (places_.size() < count_) {
        const size_t next = best_next();
        places_.insert(std::upper_bound(places_.begin(), places_.end(), next), next);
      }
      const Places whole = std::exchange(places_, {});
      Partial value;
      for (const size_t place : whole) {
        value = with(value, place);
        places_.push_back(place);
      }
      offer(value);
    }
  }

  std::vector<RankedSet> take() { return std::move(best_); }

 private:
  Partial with(Partial set, size_t next) const {
    for (const size_t chosen : places_) set.links += devices_.links[chosen][next];
    set.rows += row_sums_[next];
    set.heat = std::max(set.heat, devices_.heat[next]);
    set.used = std::max(set.used, devices_.last_used[next]);
    return set;
  }

  size_t best_next() const {
    size_t best = devices_.size();
    std::tuple<int, int64_t, size_t> best_worth;
    for (size_t place = 0; place < devices_.size(); ++place) {
      if (std::binary_search(places_.begin(), places_.end(), place)) continue;
      int sum = 0;
      for (const size_t chosen : places_) sum += devices_.links[chosen][place];
      const std::tuple worth(-sum, devices_.last_used[place], place);
      if (best == devices_.size() || worth < best_worth) best = place, best_worth = worth;
    }
    return best;
  }

  void offer(const Partial& set) {
    // Pairs that touch the set are its rows, less those counted from both ends.
    const int rest = all_ - (set.rows - set.links);
    const std::tuple front(-set.links, -rest, set.heat, set.used);
    if (best_.size() == most_) {
      const auto& [links, left, heat, used, places] = best_.back().key;
      if (std::tie(links, left, heat, used) < front) return;
    }
    RankedSet ranked{{-set.links, -rest, set.heat, set.used, places_}};
    const auto at = std::lower_bound(best_.begin(), best_.end(), ranked,
                                     [](const auto& a, const auto& b) { return a.key < b.key; });
    if (at != best_.end() && at->key == ranked.key) return;  // grown from two devices
    best_.insert(at, std::move(ranked));
    if (best_.size() > most_) best_.pop_back();
  }

  const LinkedDevices& devices_;
  size_t count_, most_;
  std::vector<int> row_sums_;
  int all_ = 0;
  Places places_;
  std::vector<RankedSet> best_;
};

}  // namespace

std::vector<RankedSet> best_sets(const LinkedDevices& devices, size_t count, size_t most) {
  if (devices.size() < count || most == 0) return {};
  Search search(devices, count, most);
  if (subsets(devices.size(), count) <= kMostSubsets) {
    search.all(0, {});
  } else {
    search.grown();
  }
  return search.take();
}

}  // namespace saemill
