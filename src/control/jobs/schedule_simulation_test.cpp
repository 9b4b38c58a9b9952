// Random queues on random machines, simulated to their end with an event clock. What is asserted after every
// decision is computed here from the truth, not with the scheduler's own parts.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "common/base/random.h"
#include "control/jobs/schedule.h"
#include "control/jobs/schedule_fixture.h"
#include "control/select/selection.h"

namespace saemill {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr uint64_t kWorlds = 2000;
#else
constexpr uint64_t kWorlds = 10000;
#endif
constexpr double kNever = 1e18;

enum class Fate { waiting, running, completed, failed, cancelled };

struct Truth {
  WaitingJob job;
  double arrives = 0, lasts = 0, released = 0, cancelled = kNever, ends = kNever;
  bool fails = false;
  std::vector<std::string> after;
  Fate fate = Fate::waiting;
  std::vector<std::string> devices;
};

struct Trouble {
  size_t device;
  Availability state;
  double from, to;
};

class World {
 public:
  explicit World(uint64_t seed) : seed_(seed) {
    input_ = machine(0);
    begin_ = input_.now;
    wrong_ = pick(3) == 0;
    make_devices();
    const int jobs = 2 + pick(22);
    for (int i = 0; i < jobs; ++i) make_job(i);
    const int troubles = pick(2) == 0 ? 0 : pick(5);
    for (int i = 0; i < troubles; ++i) make_trouble();
  }

  void run() {
    std::set<double> times;
    for (const Truth& truth : truths_) times.insert({truth.arrives, truth.released, truth.cancelled});
    for (const Trouble& trouble : troubles_) times.insert({trouble.from, trouble.to});
    times.erase(kNever);
    while (!times.empty()) {
      now_ = *times.begin();
      times.erase(times.begin());
      advance();
      decide();
      if (::testing::Test::HasFailure()) return;
      for (const Truth& truth : truths_) {
        if (truth.fate == Fate::running && truth.ends > now_) times.insert(truth.ends);
      }
    }
    for (const Truth& truth : truths_) check_end(truth);
  }

  int decisions = 0, overtaken = 0, heads = 0;

 private:
  int pick(int below) {
    return static_cast<int>(random_bits(seed_, 11, counter_++) % static_cast<uint64_t>(below));
  }

  void make_devices() {
    const int most = pick(8) == 0 ? 16 : 8;
    const int devices = 1 + pick(most), models = 1 + pick(2);
    const bool slots = pick(6) == 0;
    for (int i = 0; i < devices; ++i) {
      Device device = gpu(i, pick(models) == 0 ? "NVIDIA H200" : "NVIDIA A100");
      device.memory_total = device.memory_free = pick(4) == 0 ? 40 * kGigabyte : 140 * kGigabyte;
      if (slots && pick(2) == 0) device.kind = DeviceKind::cpu, device.name = "EPYC";
      if (!slots && pick(10) == 0) device.kind = DeviceKind::mig, device.name += " MIG";
      input_.snapshot.devices.push_back(device);
    }
    for (const Device& a : input_.snapshot.devices) {
      for (const Device& b : input_.snapshot.devices) {
        if (pick(3) == 0) input_.snapshot.topology.set(a.uuid, b.uuid, {.nvlinks = pick(5), .level = 30});
      }
    }
  }

  const Device& any_device() {
    return input_.snapshot
        .devices[static_cast<size_t>(pick(static_cast<int>(input_.snapshot.devices.size())))];
  }

  void make_job(int number) {
    Truth truth;
    WaitingJob& job = truth.job;
    job.id = fmt::format("t{}", number);
    job.priority = 50 * pick(3) / (1 + pick(2));
    job.order = number;
    job.count = pick(3) == 0 ? 1 + pick(static_cast<int>(input_.snapshot.devices.size()) + 1) : 1 + pick(2);
    job.count = std::min(job.count, 5 + pick(3) * pick(4));
    if (pick(6) == 0) {
      for (int i = 1 + pick(3); i > 0; --i) job.devices.push_back(any_device().uuid);
    }
    if (pick(12) == 0) job.devices.push_back("GPU-gone");
    job.kind = pick(5) == 0 ? "cpu" : pick(3) == 0 ? "gpu" : "any";
    if (pick(3) == 0) job.memory = (pick(4) == 0 ? 100 : 20) * kGigabyte;
    job.mixed_models = pick(3) == 0;
    if (pick(8) == 0) job.exclude.push_back(any_device().uuid);
    truth.lasts = 10.0 * (1 + pick(12));
    if (pick(4) != 0) job.duration = wrong_ ? truth.lasts * (1 + pick(8)) / 4 : truth.lasts;
    truth.arrives = truth.released = begin_ + (pick(2) == 0 ? 0 : pick(200));
    if (pick(8) == 0) truth.released += pick(150);
    if (pick(10) == 0) truth.cancelled = truth.arrives + pick(200);
    truth.fails = pick(12) == 0;
    if (number > 0 && pick(6) == 0) truth.after.push_back(truths_[static_cast<size_t>(pick(number))].job.id);
    truths_.push_back(std::move(truth));
  }

  void make_trouble() {
    constexpr Availability kStates[] = {Availability::foreign, Availability::foreign, Availability::unhealthy,
                                        Availability::lost, Availability::unknown};
    const double from = begin_ + pick(300);
    troubles_.push_back({static_cast<size_t>(pick(static_cast<int>(input_.snapshot.devices.size()))),
                         kStates[pick(5)], from, from + 1 + pick(150)});
  }

  // --- the clock
  // ---------------------------------------------------------------------------------------------

  void advance() {
    for (Truth& truth : truths_) {
      if (truth.fate == Fate::running && truth.ends <= now_)
        truth.fate = truth.fails ? Fate::failed : Fate::completed;
      const bool over = truth.fate != Fate::running && truth.fate != Fate::waiting;
      if (!over && truth.cancelled <= now_) truth.fate = Fate::cancelled;
    }
    for (size_t i = 0; i < input_.snapshot.devices.size(); ++i) {
      Availability state = Availability::free;
      for (const Truth& truth : truths_) {
        if (truth.fate == Fate::running && std::count(truth.devices.begin(), truth.devices.end(), uuid(i)))
          state = Availability::leased;
      }
      for (Trouble& trouble : troubles_) {
        if (trouble.device != i) continue;
        if (trouble.from == now_) tracked_.clear();  // nobody could know
        const bool stranger = trouble.state == Availability::foreign;
        if (trouble.from == now_ && stranger && state != Availability::free)
          trouble.to = now_;  // not on a lease
        if (trouble.from <= now_ && now_ < trouble.to) state = trouble.state;
      }
      const bool lags = state == Availability::leased && pick(3) == 0;  // the snapshot, behind the lease
      set_state(input_.snapshot.devices[i], lags ? Availability::free : state);
      input_.snapshot.devices[i].memory_free =
          state == Availability::leased ? 1 * kGigabyte : *input_.snapshot.devices[i].memory_total;
    }
    input_.now = input_.snapshot.epoch = now_;
    input_.waiting.clear();
    input_.running.clear();
    for (const Truth& truth : truths_) offer(truth);
  }

  void offer(const Truth& truth) {
    if (truth.fate == Fate::running) {
      RunningJob running{truth.job.id, truth.devices, std::nullopt};
      if (truth.job.duration) running.ends_at = truth.ends - truth.lasts + *truth.job.duration;
      input_.running.push_back(running);
    }
    if (truth.fate != Fate::waiting || truth.arrives > now_) return;
    WaitingJob job = truth.job;
    job.held = truth.released > now_;
    for (const std::string& id : truth.after) {
      const Fate fate = find(id).fate;
      if (fate == Fate::failed || fate == Fate::cancelled) job.failed_dependency = id;
      if (fate != Fate::completed) job.waiting_for.push_back(id);
    }
    input_.waiting.push_back(std::move(job));
  }

  void decide() {
    const Decisions decided = schedule(input_);
    ++decisions;
    if (decisions % 4 == 0) check_determinism(decided);
    ASSERT_EQ(decided.starts.size() + decided.waits.size(), input_.waiting.size()) << where();
    std::set<std::string> taken;
    for (const Start& start : decided.starts) check_start(start, taken);
    check_order(decided);
    check_head(decided);
    for (const Start& start : decided.starts) {
      Truth& truth = find(start.id);
      truth.fate = Fate::running;
      truth.devices = start.devices;
      truth.ends = now_ + truth.lasts;
      overtaken += !start.overtakes.empty();
    }
  }

  // --- what must hold
  // ----------------------------------------------------------------------------------------

  std::string where() const { return fmt::format("seed {} at {}", seed_, now_ - begin_); }
  const std::string& uuid(size_t i) const { return input_.snapshot.devices[i].uuid; }

  Truth& find(const std::string& id) {
    return *std::find_if(truths_.begin(), truths_.end(), [&](const Truth& t) { return t.job.id == id; });
  }

  // When a device is free again, by the truth; `ahead`: what starts now and is counted as well.
  double free_at(size_t i, const std::vector<const Start*>& ahead) {
    const Availability state = input_.snapshot.devices[i].availability;
    if (state != Availability::free && state != Availability::leased && state != Availability::foreign)
      return kNever;
    double at = now_;
    const auto held = [&](const std::vector<std::string>& devices) {
      return std::count(devices.begin(), devices.end(), uuid(i)) > 0;
    };
    for (const Trouble& trouble : troubles_) {
      if (trouble.device == i && trouble.from <= now_) at = std::max(at, trouble.to);
    }
    for (const Truth& truth : truths_) {
      if (truth.fate != Fate::running || !held(truth.devices)) continue;
      // A cancellation is not foreseen where an end is known; unknown ends may turn out any way.
      at = std::max(at, truth.job.duration ? truth.ends : std::min(truth.ends, truth.cancelled));
    }
    for (const Start* start : ahead) {
      if (held(start->devices)) at = std::max(at, now_ + find(start->id).lasts);
    }
    return at;
  }

  bool serves(const WaitingJob& job, const Device& device) const {
    const auto has = [&](const std::vector<std::string>& list) {
      return std::count(list.begin(), list.end(), device.uuid) > 0;
    };
    const auto is_gpu = [](const Device& one) { return one.kind != DeviceKind::cpu; };
    const auto& all = input_.snapshot.devices;
    const bool gpus = job.kind == "gpu" || (job.kind == "any" && std::any_of(all.begin(), all.end(), is_gpu));
    if (job.devices.empty() ? is_gpu(device) != gpus : !has(job.devices)) return false;
    if (device.kind == DeviceKind::mig && needed(job) > 1) return false;
    const int64_t memory = job.memory > 0 ? job.memory + memory_margin(device.kind, job.memory) : 0;
    return !has(job.exclude) && *device.memory_total >= memory;
  }

  static size_t needed(const WaitingJob& job) {
    return job.devices.empty() ? static_cast<size_t>(job.count)
                               : std::set<std::string>(job.devices.begin(), job.devices.end()).size();
  }

  // When a training could start if nobody else started: the truth, by looking at one model after the other.
  double alone_start(const WaitingJob& job, const std::vector<double>& free_at_of) const {
    std::map<std::string, std::vector<double>> by_model;
    for (size_t i = 0; i < free_at_of.size(); ++i) {
      const Device& device = input_.snapshot.devices[i];
      if (!serves(job, device)) continue;
      by_model[job.mixed_models || !job.devices.empty() ? "" : device.name].push_back(free_at_of[i]);
    }
    double best = kNever;
    for (auto& [model, times] : by_model) {
      std::sort(times.begin(), times.end());
      if (times.size() >= needed(job)) best = std::min(best, times[needed(job) - 1]);
    }
    return best;
  }

  std::vector<double> free_times(const std::vector<const Start*>& ahead) {
    std::vector<double> times;
    for (size_t i = 0; i < input_.snapshot.devices.size(); ++i) times.push_back(free_at(i, ahead));
    return times;
  }

  void check_start(const Start& start, std::set<std::string>& taken) {
    const auto at = std::find_if(input_.waiting.begin(), input_.waiting.end(),
                                 [&](const WaitingJob& one) { return one.id == start.id; });
    ASSERT_NE(at, input_.waiting.end()) << where();
    EXPECT_FALSE(at->held || !at->waiting_for.empty()) << where();
    EXPECT_EQ(start.devices.size(), needed(*at)) << where() << ": a partial gang";
    EXPECT_FALSE(start.reasons.empty()) << where();
    std::set<std::string> models;
    for (const std::string& one : start.devices) {
      EXPECT_TRUE(taken.insert(one).second) << where() << ": given twice";
      for (size_t i = 0; i < input_.snapshot.devices.size(); ++i) {
        if (uuid(i) != one) continue;
        EXPECT_EQ(free_at(i, {}), now_) << where() << ": not free";
        EXPECT_TRUE(serves(*at, input_.snapshot.devices[i])) << where();
        models.insert(input_.snapshot.devices[i].name);
      }
    }
    EXPECT_TRUE(models.size() == 1 || at->mixed_models || !at->devices.empty()) << where();
  }

  void check_determinism(const Decisions& decided) {
    ScheduleInput other = input_;
    std::reverse(other.waiting.begin(), other.waiting.end());
    std::reverse(other.running.begin(), other.running.end());
    const Decisions again = schedule(other);
    ASSERT_EQ(again.starts.size(), decided.starts.size()) << where();
    for (size_t i = 0; i < again.starts.size(); ++i) {
      EXPECT_EQ(again.starts[i].id, decided.starts[i].id) << where();
      EXPECT_EQ(again.starts[i].devices, decided.starts[i].devices) << where();
    }
    for (size_t i = 0; i < again.waits.size(); ++i) {
      EXPECT_EQ(again.waits[i].id, decided.waits[i].id) << where();
      EXPECT_EQ(again.waits[i].reason.message, decided.waits[i].reason.message) << where();
      EXPECT_EQ(again.waits[i].frees, decided.waits[i].frees) << where();
    }
  }

  static bool before(const WaitingJob& a, const WaitingJob& b) {
    return std::tie(b.priority, a.order) < std::tie(a.priority, b.order);
  }

  // Of two that ask for the same, the one behind never starts first.
  void check_order(const Decisions& decided) {
    const auto asks = [](const WaitingJob& one) {
      return std::tie(one.devices, one.count, one.kind, one.memory, one.mixed_models, one.duration,
                      one.exclude);
    };
    for (const Wait& wait : decided.waits) {
      EXPECT_FALSE(wait.reason.code.empty() || wait.reason.message.empty()) << where();
      const WaitingJob& waiting = find(wait.id).job;
      if (wait.reason.code != "devices_busy" && wait.reason.code != "foreign_process" &&
          wait.reason.code != "behind")
        continue;
      EXPECT_EQ(wait.frees.empty(), wait.reason.code == "behind") << where();
      for (const Start& start : decided.starts) {
        const WaitingJob& begun = find(start.id).job;
        EXPECT_FALSE(asks(begun) == asks(waiting) && before(waiting, begun)) << where() << ' ' << wait.id;
      }
    }
  }

  // The head starts no later than it would if nobody had overtaken it since it became the head, and no later
  // than what it was told, unless something happened that nobody could know.
  void check_head(const Decisions& decided) {
    std::vector<const Start*> ahead;
    bool others_ahead = false;
    for (const Start& start : decided.starts) {
      if (start.id == tracked_ && !others_ahead && !wrong_) {
        EXPECT_LE(now_, latest_start_) << where() << ": " << start.id << " was overtaken to its harm";
        ++heads;
      }
      if (!start.overtakes.empty()) continue;
      ahead.push_back(&start);
      others_ahead = others_ahead || start.id != tracked_;
    }
    const auto is_head = [](const Wait& wait) {
      return wait.reason.code == "devices_busy" || wait.reason.code == "foreign_process";
    };
    const auto at = std::find_if(decided.waits.begin(), decided.waits.end(), is_head);
    if (at == decided.waits.end()) return tracked_.clear();
    for (const Start& start : decided.starts)
      EXPECT_EQ(start.overtakes.empty(), before(find(start.id).job, find(at->id).job)) << where();
    const double start = alone_start(find(at->id).job, free_times(ahead));
    EXPECT_GT(start, now_) << where() << ": " << at->id << " could start";
    if (at->id != tracked_ || others_ahead) {
      tracked_ = at->id;
      latest_start_ = start;
    }
    if (at->expected_start && !wrong_) {
      EXPECT_GE(*at->expected_start, start) << where();
      latest_start_ = std::min(latest_start_, *at->expected_start);
    }
  }

  // In the end all devices are well and nothing is held: who has not run could not.
  void check_end(const Truth& truth) {
    EXPECT_NE(truth.fate, Fate::running) << where();
    if (truth.fate != Fate::waiting) return;
    for (const std::string& id : truth.after) {
      if (find(id).fate != Fate::completed) return;
    }
    EXPECT_EQ(alone_start(truth.job, free_times({})), kNever)
        << where() << ": " << truth.job.id << " starved";
  }

  uint64_t seed_, counter_ = 0;
  double begin_ = 0, now_ = 0;
  bool wrong_ = false;  // predictions
  ScheduleInput input_;
  std::vector<Truth> truths_;
  std::vector<Trouble> troubles_;
  std::string tracked_;  // the head
  double latest_start_ = kNever;
};

// One head, one training behind it that names a free device: it may pass exactly where no way that the
// unknown ends could turn out would let the head start later.
class Passing {
 public:
  explicit Passing(uint64_t seed) : seed_(seed), input_(machine(2 + pick(4))) {
    for (size_t i = 0; i < input_.snapshot.devices.size(); ++i) {
      Device& device = input_.snapshot.devices[i];
      if (pick(3) == 0) device.name = "NVIDIA A100";
      const int state = pick(3);
      ends_.push_back(state == 0 ? 0 : state == 1 ? 10.0 * (1 + pick(3)) : kNever);
      if (state == 0) continue;
      set_state(device, Availability::leased);
      RunningJob running{fmt::format("r{}", i), {device.uuid}, std::nullopt};
      if (state == 1) running.ends_at = input_.now + ends_.back();
      input_.running.push_back(running);
    }
    mixed_ = pick(2) == 0;
    count_ = 1 + static_cast<size_t>(pick(3));
    add(input_, job("head", static_cast<int>(count_))).mixed_models = mixed_;
    if (pick(4) != 0) lasts_ = 5.0 * (1 + pick(7));
  }

  // How often it passed and was refused.
  void check(int& passed, int& refused) {
    for (size_t i = 0; i < ends_.size(); ++i) {
      if (ends_[i] > 0) continue;
      input_.waiting.resize(1);
      add(input_, job("behind", 1, lasts_)).devices = {input_.snapshot.devices[i].uuid};
      const Decisions decided = schedule(input_);
      if (decided.waits.empty() || decided.waits[0].id != "head") continue;  // it starts
      if (decided.waits[0].reason.code != "devices_busy") continue;          // it never can
      const bool passes = !decided.starts.empty();
      EXPECT_EQ(passes, !harms(i)) << "seed " << seed_ << " device " << i;
      ++(passes ? passed : refused);
    }
  }

 private:
  int pick(int below) {
    return static_cast<int>(random_bits(seed_, 12, counter_++) % static_cast<uint64_t>(below));
  }

  double start(const std::vector<double>& ends) const {
    std::map<std::string, std::vector<double>> by_model;
    for (size_t i = 0; i < ends.size(); ++i)
      by_model[mixed_ ? "" : input_.snapshot.devices[i].name].push_back(ends[i]);
    double best = kNever;
    for (auto& [model, times] : by_model) {
      std::sort(times.begin(), times.end());
      if (times.size() >= count_) best = std::min(best, times[count_ - 1]);
    }
    return best;
  }

  bool harms(size_t device) const {
    std::vector<size_t> unknown;
    for (size_t i = 0; i < ends_.size(); ++i) {
      if (ends_[i] == kNever) unknown.push_back(i);
    }
    constexpr double kEnds[] = {0, 7, 10, 17, 20, 27, 30, 37, kNever};
    constexpr size_t kWays = std::size(kEnds);
    size_t all = 1;
    for (size_t i = 0; i < unknown.size(); ++i) all *= kWays;
    for (size_t way = 0; way < all; ++way) {
      std::vector<double> ends = ends_;
      size_t rest = way;
      for (const size_t i : unknown) ends[i] = kEnds[rest % kWays], rest /= kWays;
      const double without = start(ends);
      ends[device] = lasts_.value_or(kNever);
      if (start(ends) > without) return true;
    }
    return false;
  }

  uint64_t seed_, counter_ = 0;
  ScheduleInput input_;
  std::vector<double> ends_;  // of each device, from now; 0: free
  bool mixed_ = false;
  size_t count_ = 1;
  std::optional<double> lasts_;
};

TEST(ScheduleProperties, OvertakesExactlyWhereNoEndCouldHarmTheHead) {
  int passed = 0, refused = 0;
  for (uint64_t seed = 0; seed < 2000; ++seed) {
    Passing(seed).check(passed, refused);
    ASSERT_FALSE(HasFailure()) << "seed " << seed;
  }
  EXPECT_GT(passed, 50);
  EXPECT_GT(refused, 50);
}

// In parts, so that ctest runs them side by side.
class ScheduleSimulation : public ::testing::TestWithParam<uint64_t> {};

TEST_P(ScheduleSimulation, RandomQueues) {
  int decisions = 0, overtaken = 0, heads = 0;
  for (uint64_t seed = GetParam(); seed < kWorlds; seed += 4) {
    World world(seed);
    world.run();
    ASSERT_FALSE(HasFailure()) << "seed " << seed;
    decisions += world.decisions, overtaken += world.overtaken, heads += world.heads;
  }
  RecordProperty("decisions", decisions);
  RecordProperty("overtaken", overtaken);
  RecordProperty("heads", heads);
  EXPECT_GT(overtaken, decisions / 100);
  EXPECT_GT(heads, decisions / 100);
}

INSTANTIATE_TEST_SUITE_P(Quarters, ScheduleSimulation, ::testing::Values(0, 1, 2, 3));

}  // namespace
}  // namespace saemill
