#include "control/select/selection.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "common/base/error.h"
#include "common/base/random.h"
#include "control/select/topology_score.h"

namespace saemill {
namespace {

constexpr int64_t kGigabyte = 1'000'000'000;

Device gpu(int index, const std::string& name = "NVIDIA H200", int64_t free = 140 * kGigabyte) {
  Device device;
  device.index = index;
  device.uuid = fmt::format("GPU-{:08x}-0000", index);
  device.name = name;
  device.memory_total = 150 * kGigabyte;
  device.memory_free = free;
  device.temperature = 40;
  device.availability = Availability::free;
  device.reason = {"free", "free"};
  return device;
}

void set_state(Device& device, Availability availability, const std::string& code,
               const std::string& job = "") {
  device.availability = availability;
  device.reason = {code, code};
  device.current_job = job;
  if (!job.empty()) device.current_job_type = "training";
}

Snapshot machine(int gpus) {
  Snapshot snapshot;
  for (int i = 0; i < gpus; ++i) snapshot.devices.push_back(gpu(i));
  snapshot.epoch = 1e9;
  return snapshot;
}

std::vector<std::string> codes(const std::vector<Problem>& problems) {
  std::vector<std::string> found;
  for (const Problem& problem : problems) found.push_back(problem.code);
  return found;
}

TEST(Recommend, TakesTheBestLinkedAndKeepsTheBestRemainder) {
  Snapshot snapshot = machine(4);
  auto& topology = snapshot.topology;
  const auto uuid = [&](size_t i) { return snapshot.devices[i].uuid; };
  for (size_t a = 0; a < 4; ++a)
    for (size_t b = a + 1; b < 4; ++b) topology.set(uuid(a), uuid(b), {.nvlinks = 0, .level = 50});
  topology.set(uuid(1), uuid(2), {.nvlinks = 4, .level = 50});
  topology.set(uuid(0), uuid(3), {.nvlinks = 0, .level = 10});
  const auto pair = recommend(snapshot, {.memory = 0, .count = 2, .exclude = {}});
  ASSERT_FALSE(pair.choices.empty());
  EXPECT_EQ(pair.choices[0].gpu_ids, (std::vector<int>{1, 2}));
  EXPECT_NE(std::find(pair.choices[0].reasons.begin(), pair.choices[0].reasons.end(), "linked by 4 NVLinks"),
            pair.choices[0].reasons.end());
  // One GPU: not half of the pair that NVLink joins.
  EXPECT_EQ(recommend(snapshot, {.memory = 0, .count = 1, .exclude = {}}).choices[0].gpu_ids,
            (std::vector<int>{0}));
}

TEST(Recommend, PrefersSwitchToNumaCrossing) {
  Snapshot snapshot = machine(4);
  for (size_t a = 0; a < 4; ++a)
    for (size_t b = a + 1; b < 4; ++b)
      snapshot.topology.set(snapshot.devices[a].uuid, snapshot.devices[b].uuid,
                            {.nvlinks = 0, .level = a % 2 == b % 2 ? 10 : 50});
  EXPECT_EQ(recommend(snapshot, {.count = 2, .exclude = {}}).choices[0].gpu_ids, (std::vector<int>{0, 2}));
}

TEST(Recommend, ThenHeatThenTheLongestUnused) {
  Snapshot snapshot = machine(3);
  snapshot.devices[0].temperature = 80;
  EXPECT_EQ(recommend(snapshot, {.exclude = {}}).choices[0].gpu_ids, (std::vector<int>{1}));
  snapshot.last_used = {{snapshot.devices[1].uuid, 999999000}, {snapshot.devices[2].uuid, 999990000}};
  EXPECT_EQ(recommend(snapshot, {.exclude = {}}).choices[0].gpu_ids, (std::vector<int>{2}));
  snapshot.devices[2].temperature = 43;  // three degrees say nothing
  EXPECT_EQ(recommend(snapshot, {.exclude = {}}).choices[0].gpu_ids, (std::vector<int>{2}));
}

TEST(Recommend, TooFewIsAnErrorThatSaysHowManyAndWhatHelps) {
  Snapshot snapshot = machine(4);
  set_state(snapshot.devices[0], Availability::leased, "leased", "t1");
  snapshot.devices[1].memory_free = 10 * kGigabyte;
  const auto found = recommend(snapshot, {.memory = 20 * kGigabyte, .count = 3, .exclude = {}});
  EXPECT_TRUE(found.choices.empty());
  EXPECT_EQ(found.asked, 3);
  EXPECT_EQ(found.suitable, 2);
  ASSERT_EQ(found.rejected.size(), 2U);
  EXPECT_EQ(found.rejected[0].reason.code, "leased");
  EXPECT_EQ(found.rejected[1].reason.code, "memory");
  EXPECT_NE(found.help.find("2 of 3"), std::string::npos);
  EXPECT_NE(found.help.find("1 more would do with less memory"), std::string::npos);
  const auto json = to_json(found);
  EXPECT_EQ(json["code"], "insufficient_gpus");
  EXPECT_EQ(json["suitable"], 2);
}

TEST(Recommend, ModelsAreNotMixedUnlessAsked) {
  Snapshot snapshot = machine(4);
  snapshot.devices[1].name = snapshot.devices[2].name = "NVIDIA A100";
  const auto pure = recommend(snapshot, {.count = 3, .exclude = {}});
  EXPECT_TRUE(pure.choices.empty());
  EXPECT_EQ(pure.suitable, 2);
  EXPECT_NE(pure.help.find("mixed models"), std::string::npos);
  EXPECT_FALSE(recommend(snapshot, {.count = 3, .mixed_models = true, .exclude = {}}).choices.empty());
  const auto pair = recommend(snapshot, {.count = 2, .exclude = {}});
  ASSERT_FALSE(pair.choices.empty());
  for (const Choice& choice : pair.choices)
    EXPECT_EQ(snapshot.devices[static_cast<size_t>(choice.gpu_ids[0])].name,
              snapshot.devices[static_cast<size_t>(choice.gpu_ids[1])].name);
}

TEST(Recommend, KindExcludeMarginAndMig) {
  Snapshot snapshot = machine(2);
  Device slot = gpu(2, "CPU");
  slot.kind = DeviceKind::cpu;
  Device mig = gpu(3, "MIG");
  mig.kind = DeviceKind::mig;
  snapshot.devices.insert(snapshot.devices.end(), {slot, mig});
  EXPECT_EQ(recommend(snapshot, {.count = 1, .kind = "cpu", .exclude = {}}).choices[0].gpu_ids,
            (std::vector<int>{2}));
  EXPECT_TRUE(recommend(snapshot, {.count = 3, .mixed_models = true, .exclude = {}})
                  .choices.empty());  // MIG serves alone
  EXPECT_EQ(recommend(snapshot, {.count = 1, .exclude = {snapshot.devices[0].uuid, snapshot.devices[1].uuid}})
                .choices[0]
                .gpu_ids,
            (std::vector<int>{3}));
  const int64_t free = *snapshot.devices[0].memory_free;
  EXPECT_TRUE(recommend(snapshot, {.memory = free, .exclude = {}}).choices.empty());  // no margin left
  EXPECT_FALSE(recommend(snapshot, {.memory = free * 97 / 100, .exclude = {}}).choices.empty());
  EXPECT_THROW(recommend(snapshot, {.count = 0, .exclude = {}}), Error);
  EXPECT_THROW(recommend(snapshot, {.kind = "tpu", .exclude = {}}), Error);
}

TEST(Recommend, ManyDevicesTakeNoTime) {
  Snapshot snapshot = machine(64);
  for (size_t a = 0; a < 64; ++a)
    for (size_t b = a + 1; b < 64; ++b)
      snapshot.topology.set(snapshot.devices[a].uuid, snapshot.devices[b].uuid,
                            {.nvlinks = a / 8 == b / 8 ? 18 : 0, .level = 50});
  const auto found = recommend(snapshot, {.count = 8, .exclude = {}});  // C(64, 8) is 4.4e9
  ASSERT_FALSE(found.choices.empty());
  EXPECT_EQ(found.choices[0].gpu_ids.front() / 8, found.choices[0].gpu_ids.back() / 8);
}

TEST(Validate, FindsEveryProblemAtOnce) {
  Snapshot snapshot = machine(7);
  set_state(snapshot.devices[1], Availability::leased, "leased", "t9");
  set_state(snapshot.devices[2], Availability::unhealthy, "xid");
  set_state(snapshot.devices[3], Availability::lost, "lost");
  set_state(snapshot.devices[4], Availability::prohibited, "compute_mode");
  set_state(snapshot.devices[5], Availability::unknown, "stale");
  snapshot.devices[6].memory_free = kGigabyte;
  const auto found =
      validate(snapshot, {"0", "gpu:0", "1", "2", "3", "4", "5", "gpu:6", "99"}, 2 * kGigabyte);
  const auto list = codes(found.errors);
  for (const char* code :
       {"does_not_exist", "named_twice", "busy", "unhealthy", "lost", "prohibited", "unknown", "memory"})
    EXPECT_EQ(std::count(list.begin(), list.end(), code), 1) << code;
  const auto busy = std::find_if(found.errors.begin(), found.errors.end(),
                                 [](const Problem& problem) { return problem.code == "busy"; });
  EXPECT_EQ(busy->value, "t9");
  EXPECT_EQ(busy->gpu, "1");
  const auto memory = std::find_if(found.errors.begin(), found.errors.end(),
                                   [](const Problem& problem) { return problem.code == "memory"; });
  EXPECT_EQ(memory->value, kGigabyte);
  EXPECT_EQ(memory->limit, 2 * kGigabyte);
  for (const Problem& problem : found.errors) EXPECT_FALSE(problem.fix.empty()) << problem.code;
  const auto json = to_json(found);
  EXPECT_EQ(json["valid"], false);
  EXPECT_EQ(json["errors"].size(), found.errors.size());
}

TEST(Validate, WarningsAreNotErrors) {
  Snapshot snapshot = machine(2);
  snapshot.devices[1].name = "NVIDIA A100";
  const auto mixed = validate(snapshot, {"0", "1"}, 0);
  EXPECT_TRUE(mixed.valid());
  EXPECT_EQ(codes(mixed.warnings), (std::vector<std::string>{"mixed_models"}));
  const auto tight = validate(snapshot, {"0"}, *snapshot.devices[0].memory_free - 1000);
  EXPECT_TRUE(tight.valid());
  EXPECT_EQ(codes(tight.warnings), (std::vector<std::string>{"memory"}));
  snapshot.devices[1].kind = DeviceKind::cpu;
  EXPECT_EQ(codes(validate(snapshot, {"0", "1"}, 0).errors), (std::vector<std::string>{"mixed_models"}));
  EXPECT_FALSE(validate(snapshot, {}, 0).valid());
}

Snapshot random_machine(uint64_t seed) {
  uint64_t counter = 0;
  const auto pick = [&](uint64_t below) { return static_cast<int>(random_bits(seed, 7, counter++) % below); };
  Snapshot snapshot = machine(1 + pick(10));
  for (Device& device : snapshot.devices) {
    device.name = pick(3) == 0 ? "NVIDIA A100" : "NVIDIA H200";
    device.memory_free = (1 + pick(140)) * kGigabyte;
    if (pick(12) == 0) device.memory_free.reset();
    if (pick(8) == 0) device.kind = DeviceKind::mig;
    device.temperature = 30 + pick(60);
    const int state = pick(14);
    if (state < kAvailabilities)
      set_state(device, static_cast<Availability>(state), to_string(static_cast<Availability>(state)),
                state == 1 ? "job" : "");
    for (const Device& other : snapshot.devices)
      snapshot.topology.set(device.uuid, other.uuid,
                            {.nvlinks = pick(3) == 0 ? pick(18) : 0, .level = 10 * pick(6)});
  }
  return snapshot;
}

// What is recommended is valid; what is not recommended is impossible; no other set has better links.
TEST(Properties, OverRandomMachines) {
  for (uint64_t seed = 0; seed < 4000; ++seed) {
    const Snapshot snapshot = random_machine(seed);
    const RecommendRequest request{.memory = static_cast<int64_t>(random_bits(seed, 8, 0) % 60) * kGigabyte,
                                   .count = 1 + static_cast<int>(random_bits(seed, 8, 1) % 4),
                                   .mixed_models = random_bits(seed, 8, 2) % 2 == 0,
                                   .exclude = {}};
    const auto found = recommend(snapshot, request);
    std::set<std::vector<int>> sets;
    for (const Choice& choice : found.choices) {
      ASSERT_EQ(choice.gpu_ids.size(), static_cast<size_t>(request.count)) << seed;
      EXPECT_TRUE(std::is_sorted(choice.gpu_ids.begin(), choice.gpu_ids.end()));
      EXPECT_TRUE(sets.insert(choice.gpu_ids).second) << "twice the same, seed " << seed;
      EXPECT_FALSE(choice.reasons.empty());
      const auto checked = validate(snapshot, choice.device_uuids, request.memory);
      EXPECT_TRUE(checked.valid()) << seed << to_json(checked).dump();
      if (!request.mixed_models) {
        EXPECT_TRUE(checked.warnings.empty()) << seed << to_json(checked).dump();
      }
    }
    // Brute force over single devices: those that validate without any remark are suitable ones.
    int clean = 0;
    for (const Device& device : snapshot.devices) {
      const auto checked = validate(snapshot, {device.uuid}, request.memory);
      if (checked.valid() && checked.warnings.empty() &&
          (device.kind == DeviceKind::gpu || request.count == 1))
        ++clean;
    }
    EXPECT_LE(found.suitable, clean) << seed;
    if (request.mixed_models || request.count == 1) {
      EXPECT_EQ(found.choices.empty(), clean < request.count) << seed;
    }
    EXPECT_EQ(found.choices.empty(), !found.help.empty());
    if (found.choices.empty()) {
      EXPECT_LT(found.suitable, found.asked);
    }
    for (size_t i = 1; i < found.choices.size(); ++i) {
      const auto score = [&](const Choice& choice) {
        std::vector<const Device*> devices;
        for (const int index : choice.gpu_ids)
          devices.push_back(&snapshot.devices[static_cast<size_t>(index)]);
        return topology_score(snapshot.topology, devices);
      };
      EXPECT_GE(score(found.choices[i - 1]), score(found.choices[i])) << seed;
    }
  }
}

// Taking what is recommended, again and again, never gives a device twice and ends when all are gone.
TEST(Properties, TakingUntilNothingIsLeft) {
  for (uint64_t seed = 0; seed < 1000; ++seed) {
    Snapshot snapshot = random_machine(seed);
    const int count = 1 + static_cast<int>(seed % 3);
    const auto free_before =
        std::count_if(snapshot.devices.begin(), snapshot.devices.end(),
                      [](const Device& device) { return device.availability == Availability::free; });
    int taken = 0;
    while (true) {
      const auto found = recommend(snapshot, {.count = count, .mixed_models = true, .exclude = {}});
      if (found.choices.empty()) break;
      for (const int index : found.choices[0].gpu_ids) {
        Device& device = snapshot.devices[static_cast<size_t>(index)];
        ASSERT_EQ(device.availability, Availability::free) << seed;
        set_state(device, Availability::leased, "leased", "job");
        ++taken;
      }
    }
    EXPECT_LE(taken, free_before);
    if (count == 1) {
      EXPECT_EQ(taken, free_before) << seed;
    }
  }
}

}  // namespace
}  // namespace saemill
