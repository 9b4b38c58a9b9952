#include "control/jobs/schedule.h"

#include <algorithm>
#include <numeric>
#include <tuple>

#include "common/base/error.h"
#include "control/jobs/forecast.h"
#include "control/jobs/reservation.h"
#include "control/jobs/waiting_reason.h"
#include "control/select/selection.h"

namespace saemill {
namespace {

using Places = std::vector<size_t>;

class Scheduler {
 public:
  explicit Scheduler(const ScheduleInput& input) : input_(input), machine_(input) {}

  Decisions run() {
    std::vector<const WaitingJob*> queue;
    for (const WaitingJob& job : input_.waiting) queue.push_back(&job);
    std::sort(queue.begin(), queue.end(), [](const WaitingJob* a, const WaitingJob* b) {
      return std::tie(b->priority, a->order, a->id) < std::tie(a->priority, b->order, b->id);
    });
    decisions_.waits.reserve(queue.size());
    for (const WaitingJob* job : queue) consider(*job);
    return std::move(decisions_);
  }

 private:
  void consider(const WaitingJob& job) {
    if (auto wait = not_in_queue(job)) return decisions_.waits.push_back(std::move(*wait));
    if (auto wait = driver_silent(input_.snapshot, job)) return decisions_.waits.push_back(std::move(*wait));
    const Demand demand(machine_, job);
    const auto outlook = demand.outlook(machine_);
    if (!outlook.possible) return decisions_.waits.push_back(cannot_run(machine_, demand));
    const bool enough_free = outlook.unknown == 0 && !free_places(demand).empty();
    if (enough_free) {
      const Places taken = choose(demand);
      if (!taken.empty()) return start(demand, taken);
      return expect(behind(demand, head_->id), demand);
    }
    if (head_ == nullptr) {
      head_ = &job;
      reservation_.emplace(machine_, demand);
      forecast_.emplace(machine_);
    }
    expect(devices_busy(machine_, demand, outlook), demand);
  }

  void expect(Wait wait, const Demand& demand) {
    wait.expected_start = forecast_->place(demand, machine_);
    if (wait.expected_start)
      wait.reason.message += "; expected at about " + clock_time(*wait.expected_start, input_.now);
    decisions_.waits.push_back(std::move(wait));
  }

  double end_of(const WaitingJob& job) const {
    const bool known = job.duration && *job.duration >= 0;
    return known ? input_.now + *job.duration : kUnknownEnd;
  }

  // Those of groups that have enough of them.
  Places free_places(const Demand& demand) const { return whole_groups(demand, demand.able); }

  Places whole_groups(const Demand& demand, const Places& candidates) const {
    std::vector<size_t> counts(demand.groups);
    for (const size_t i : candidates) {
      const Place& place = machine_.places[i];
      if (place.use == Use::free) ++counts[demand.group(place)];
    }
    Places whole;
    for (const size_t i : candidates) {
      const Place& place = machine_.places[i];
      if (place.use == Use::free && counts[demand.group(place)] >= demand.count) whole.push_back(i);
    }
    return whole;
  }

  // Empty: the head would start later.
  Places choose(const Demand& demand) {
    const Places free = free_places(demand);
    if (head_ == nullptr) return pick(demand, free);
    const double end = end_of(demand.job);
    const Places spare = spare_places(demand, free, end);
    if (spare.empty()) return {};
    const Places best = pick(demand, free);
    return reservation_->allows(best, end) ? best : pick(demand, spare);
  }

  // Groups one by one: a training of one model takes from one of them only, and what each may spare is
  // spared together where several may serve.
  Places spare_places(const Demand& demand, const Places& free, double end) const {
    Places spare;
    for (size_t group = 0; group < demand.groups; ++group) {
      Places own;
      for (const size_t i : free) {
        if (demand.group(machine_.places[i]) == group) own.push_back(i);
      }
      if (own.empty()) continue;
      own = whole_groups(demand, reservation_->spare(own, end));
      spare.insert(spare.end(), own.begin(), own.end());
    }
    return spare;
  }

  // The best of `free`, whose groups have enough each.
  Places pick(const Demand& demand, Places free) {
    reasons_.clear();
    if (demand.named) {
      reasons_.push_back("named by the training");
      std::sort(free.begin(), free.end());
      return free;
    }
    if (machine_.places[free[0]].cpu) free = least_used(demand, std::move(free));
    RecommendRequest request;
    request.memory = demand.job.memory;
    request.count = static_cast<int>(demand.count);
    request.kind = machine_.places[free[0]].cpu ? "cpu" : "gpu";
    request.mixed_models = demand.job.mixed_models;
    request.most_choices = 1;
    std::vector<bool> candidate(machine_.places.size());
    for (const size_t i : free) candidate[i] = true;
    for (size_t i = 0; i < candidate.size(); ++i) {
      if (!candidate[i]) request.exclude.push_back(machine_.places[i].device->uuid);
    }
    Recommendation found = recommend(input_.snapshot, request);
    ensure(!found.choices.empty(), "free devices that fit were not recommended");
    reasons_ = std::move(found.choices[0].reasons);
    Places taken;
    for (size_t i = 0; i < candidate.size(); ++i) {
      if (candidate[i] && is_named(found.choices[0].device_uuids, machine_.places[i])) taken.push_back(i);
    }
    return taken;
  }

  // CPU slots are all linked alike, so there is nothing to search: recommend() would try up to 20,000 sets of
  // them for each start.
  Places least_used(const Demand& demand, Places free) const {
    const auto used = [&](size_t i) {
      const auto at = input_.snapshot.last_used.find(machine_.places[i].device->uuid);
      return at != input_.snapshot.last_used.end() ? at->second : 0;
    };
    const size_t group = demand.group(machine_.places[free[0]]);
    std::erase_if(free, [&](size_t i) { return demand.group(machine_.places[i]) != group; });
    std::sort(free.begin(), free.end(),
              [&](size_t a, size_t b) { return std::tuple(used(a), a) < std::tuple(used(b), b); });
    free.resize(demand.count);
    return free;
  }

  void start(const Demand& demand, const Places& taken) {
    const WaitingJob& job = demand.job;
    Start begun{job.id, {}, std::move(reasons_), head_ != nullptr ? head_->id : ""};
    for (const size_t i : taken) begun.devices.push_back(machine_.places[i].device->uuid);
    if (head_ != nullptr) {
      reservation_->take(taken, end_of(job));
      forecast_->take(taken, end_of(job));
    }
    machine_.give(taken, job.id, end_of(job));
    decisions_.starts.push_back(std::move(begun));
  }

  const ScheduleInput& input_;
  Machine machine_;
  const WaitingJob* head_ = nullptr;
  std::optional<Reservation> reservation_;  // of the head
  std::optional<Forecast> forecast_;        // of the head and all behind it
  std::vector<std::string> reasons_;        // of the last pick
  Decisions decisions_;
};

}  // namespace

Decisions schedule(const ScheduleInput& input) {
  return Scheduler(input).run();
}

}  // namespace saemill
