#include "control/jobs/schedule.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "control/jobs/schedule_fixture.h"

namespace saemill {
namespace {

const std::string& uuid(const ScheduleInput& input, size_t index) {
  return input.snapshot.devices[index].uuid;
}

// `job` has these devices until `seconds` from now.
void run(ScheduleInput& input, const std::string& id, const std::vector<size_t>& devices,
         std::optional<double> seconds = std::nullopt) {
  RunningJob running{id, {}, std::nullopt};
  if (seconds) running.ends_at = input.now + *seconds;
  for (const size_t i : devices) {
    running.devices.push_back(uuid(input, i));
    set_state(input.snapshot.devices[i], Availability::leased);
  }
  input.running.push_back(running);
}

std::vector<std::string> started(const Decisions& decisions) {
  std::vector<std::string> ids;
  for (const Start& start : decisions.starts) ids.push_back(start.id);
  return ids;
}

using Ids = std::vector<std::string>;

Wait wait_of(const Decisions& decisions, const std::string& id) {
  for (const Wait& wait : decisions.waits) {
    if (wait.id == id) return wait;
  }
  return {"", {"does not wait", ""}, std::nullopt, {}};
}

std::string code_of(const Decisions& decisions, const std::string& id) {
  return wait_of(decisions, id).reason.code;
}

// Until the driver has told of GPUs, CPU slots may not be all that there is.
TEST(Schedule, NothingGoesToTheCpuWhileTheDriverIsSilent) {
  ScheduleInput input = machine(1);
  input.snapshot.devices[0].kind = DeviceKind::cpu;
  input.snapshot.devices[0].uuid = "CPU-here-0";
  DriverState& driver = input.snapshot.driver;
  add(input, job("any"));
  for (const char* state : {"starting", "hanging"}) {
    driver.state = state;
    EXPECT_EQ(code_of(schedule(input), "any"), "driver") << state;
  }
  driver.message = "no answer";
  EXPECT_NE(wait_of(schedule(input), "any").reason.message.find("hanging: no answer"), std::string::npos);
  WaitingJob named = job("named");
  named.devices = {"CPU-here-0"};
  add(input, named);
  EXPECT_EQ(started(schedule(input)), Ids{"named"});
  input.waiting.pop_back();
  for (const char* state : {"absent", "answering", "failing"}) {  // a person has set up a slot nevertheless
    driver.state = state;
    EXPECT_EQ(started(schedule(input)), Ids{"any"}) << state;
  }
  input.snapshot.devices.clear();
  driver.state = "failing";
  EXPECT_EQ(code_of(schedule(input), "any"), "driver");
  driver.state = "hanging";
  driver.told = true;  // once: what is not there is not there
  EXPECT_EQ(code_of(schedule(input), "any"), "too_few_devices");
}

TEST(Schedule, GpusThatAreLeftOutAreNone) {
  ScheduleInput input = machine(2);
  for (Device& device : input.snapshot.devices) {
    device.left_out = "CUDA_VISIBLE_DEVICES=-1";
    set_state(device, Availability::prohibited);
  }
  input.snapshot.devices.push_back(gpu(2));
  input.snapshot.devices[2].kind = DeviceKind::cpu;
  add(input, job("a"));
  const Decisions decisions = schedule(input);
  ASSERT_EQ(decisions.starts.size(), 1U);
  EXPECT_EQ(decisions.starts[0].devices, Ids{uuid(input, 2)});
}

TEST(Schedule, PriorityThenArrival) {
  ScheduleInput input = machine(2);
  add(input, job("a"));
  add(input, job("b"));
  add(input, job("c")).priority = 90;
  EXPECT_EQ(started(schedule(input)), (Ids{"c", "a"}));
  EXPECT_EQ(code_of(schedule(input), "b"), "devices_busy");
}

TEST(Schedule, AllOrNothingAndNoDeviceTwice) {
  ScheduleInput input = machine(4);
  add(input, job("a", 3));
  add(input, job("b", 2));
  add(input, job("c", 1));
  const Decisions decisions = schedule(input);
  EXPECT_EQ(started(decisions), (Ids{"a"}));
  EXPECT_EQ(decisions.starts[0].devices.size(), 3U);
  EXPECT_EQ(decisions.starts[0].overtakes, "");
  EXPECT_FALSE(decisions.starts[0].reasons.empty());
  EXPECT_EQ(code_of(decisions, "b"), "devices_busy");
  EXPECT_FALSE(wait_of(decisions, "b").expected_start);  // nobody knows how long a takes
  EXPECT_EQ(code_of(decisions, "c"), "behind");          // b needs what is left, as soon as a ends
  EXPECT_NE(wait_of(decisions, "c").reason.message.find("training b"), std::string::npos);
}

TEST(Schedule, TakesTheBestLinked) {
  ScheduleInput input = machine(4);
  input.snapshot.topology.set(uuid(input, 1), uuid(input, 2), {.nvlinks = 4, .level = 50});
  add(input, job("a", 2));
  EXPECT_EQ(schedule(input).starts[0].devices, (Ids{uuid(input, 1), uuid(input, 2)}));
}

TEST(Schedule, TheHeadSaysWhenAndWhatFreesIt) {
  ScheduleInput input = machine(4, 1769869200);  // 14:20 UTC
  run(input, "t-7", {0}, 600);
  run(input, "t-8", {1, 2}, 60);
  add(input, job("a", 4));
  const Wait wait = wait_of(schedule(input), "a");
  EXPECT_EQ(wait.reason.code, "devices_busy");
  EXPECT_EQ(wait.expected_start, input.now + 600);
  EXPECT_EQ(wait.reason.message, "1 of the 4 devices that it needs are free; expected at about 14:30 UTC");
  EXPECT_EQ(wait.frees, (Ids{"gpu:1 when training t-8 ends at about 14:21 UTC",
                             "gpu:2 when training t-8 ends at about 14:21 UTC",
                             "gpu:0 when training t-7 ends at about 14:30 UTC"}));
}

TEST(Schedule, OvertakesWhereItIsDoneInTime) {
  ScheduleInput input = machine(2);
  run(input, "r", {0}, 100);
  add(input, job("head", 2));
  add(input, job("unknown"));
  add(input, job("late", 1, 101));
  add(input, job("short", 1, 100));
  const Decisions decisions = schedule(input);
  EXPECT_EQ(started(decisions), (Ids{"short"}));
  EXPECT_EQ(decisions.starts[0].overtakes, "head");
  EXPECT_EQ(code_of(decisions, "late"), "behind");
  EXPECT_EQ(code_of(decisions, "unknown"), "behind");
}

TEST(Schedule, OvertakesOnWhatTheHeadDoesNotNeed) {
  ScheduleInput input = machine(4);
  run(input, "r", {0}, 100);
  add(input, job("head")).devices = {uuid(input, 0), uuid(input, 1)};
  add(input, job("a", 2));
  const Decisions decisions = schedule(input);
  EXPECT_EQ(started(decisions), (Ids{"a"}));
  EXPECT_EQ(decisions.starts[0].devices, (Ids{uuid(input, 2), uuid(input, 3)}));
  // Three that fit where the head needs two: one may go for ever, the second may not.
  input = machine(4);
  run(input, "r", {0}, 100);
  run(input, "s", {1}, 100);
  add(input, job("head", 3));
  add(input, job("a"));
  add(input, job("b"));
  EXPECT_EQ(started(schedule(input)), (Ids{"a"}));
}

TEST(Schedule, UnknownEndsKeepWhatCouldShortenTheWait) {
  ScheduleInput input = machine(3);
  run(input, "unknown", {0});
  run(input, "known", {1}, 100);
  add(input, job("head", 2));
  // Known ends alone would let it pass: gpu:1 comes at 100. But if gpu:0 comes first, gpu:2 is needed then.
  add(input, job("a", 1, 50));
  EXPECT_EQ(code_of(schedule(input), "a"), "behind");
  // Nothing unknown left: now it may.
  input.running[0].ends_at = input.now + 200;
  EXPECT_EQ(started(schedule(input)), (Ids{"a"}));
  // Over its predicted end is unknown too.
  input.running[0].ends_at = input.now - 1;
  EXPECT_EQ(code_of(schedule(input), "a"), "behind");
  EXPECT_EQ(schedule(input).waits[0].expected_start, input.now + 100);
}

TEST(Schedule, AnotherModelMayServeTheHeadAsEarly) {
  ScheduleInput input = machine(4);
  input.snapshot.devices[2] = gpu(2, "NVIDIA A100");
  input.snapshot.devices[3] = gpu(3, "NVIDIA A100");
  run(input, "r", {0}, 100);
  run(input, "s", {2}, 50);
  add(input, job("head", 2));  // A100s at 50
  add(input, job("a", 1, 1000));
  const Decisions decisions = schedule(input);
  EXPECT_EQ(started(decisions), (Ids{"a"}));
  EXPECT_EQ(decisions.starts[0].devices, (Ids{uuid(input, 1)}));
  EXPECT_EQ(wait_of(decisions, "head").expected_start, input.now + 50);
}

TEST(Schedule, WhoIsBehindExpectsToStartInItsTurn) {
  ScheduleInput input = machine(2);
  run(input, "r", {0}, 100);
  run(input, "s", {1}, 50);
  add(input, job("head", 2, 20));
  add(input, job("second", 1, 10));
  add(input, job("third", 2));
  add(input, job("fourth"));
  const Decisions decisions = schedule(input);
  EXPECT_EQ(wait_of(decisions, "head").expected_start, input.now + 100);
  EXPECT_EQ(wait_of(decisions, "second").expected_start, input.now + 120);
  EXPECT_EQ(wait_of(decisions, "third").expected_start, input.now + 130);
  EXPECT_FALSE(wait_of(decisions, "fourth").expected_start) << "nobody knows how long the third takes";
  EXPECT_NE(wait_of(decisions, "second").reason.message.find("expected at about"), std::string::npos);
}

TEST(Schedule, HeldAndDependentHoldUpNobody) {
  ScheduleInput input = machine(1);
  add(input, job("held")).held = true;
  add(input, job("after")).waiting_for = {"x", "y"};
  add(input, job("failed")).failed_dependency = "z";
  add(input, job("a"));
  const Decisions decisions = schedule(input);
  EXPECT_EQ(started(decisions), (Ids{"a"}));
  EXPECT_EQ(decisions.starts[0].overtakes, "");
  EXPECT_EQ(code_of(decisions, "held"), "held");
  EXPECT_EQ(wait_of(decisions, "after").reason.message, "starts after training x, y");
  EXPECT_EQ(wait_of(decisions, "after").frees.size(), 2U);
  EXPECT_EQ(code_of(decisions, "failed"), "after_failed");
}

TEST(Schedule, WhatCanNeverRunHoldsUpNobody) {
  ScheduleInput input = machine(3);
  input.snapshot.devices[2] = gpu(2, "NVIDIA A100");
  set_state(input.snapshot.devices[1], Availability::unhealthy);
  add(input, job("many", 4));
  add(input, job("models", 3));
  add(input, job("large")).memory = 150 * kGigabyte;
  add(input, job("gone")).devices = {"GPU-gone"};
  add(input, job("sick", 2));
  add(input, job("named_sick")).devices = {uuid(input, 1)};
  add(input, job("cpu")).kind = "cpu";
  add(input, job("excluded")).exclude = {uuid(input, 0), uuid(input, 1), uuid(input, 2)};
  add(input, job("zero", 0));
  add(input, job("tpu")).kind = "tpu";
  add(input, job("a"));
  const Decisions decisions = schedule(input);
  EXPECT_EQ(started(decisions), (Ids{"a"}));
  EXPECT_EQ(code_of(decisions, "many"), "too_few_devices");
  EXPECT_EQ(wait_of(decisions, "models").reason.message,
            "needs 3 devices together; this machine has 2 of one model (mixed models would do)");
  EXPECT_EQ(code_of(decisions, "large"), "too_little_memory");
  EXPECT_EQ(code_of(decisions, "gone"), "device_missing");
  EXPECT_EQ(code_of(decisions, "sick"), "unhealthy");
  EXPECT_EQ(wait_of(decisions, "sick").frees, (Ids{"gpu:1 once it can be used again: unhealthy"}));
  EXPECT_EQ(code_of(decisions, "named_sick"), "unhealthy");
  EXPECT_EQ(code_of(decisions, "cpu"), "too_few_devices");
  EXPECT_EQ(code_of(decisions, "excluded"), "excluded");
  EXPECT_EQ(code_of(decisions, "zero"), "invalid");
  EXPECT_EQ(code_of(decisions, "tpu"), "invalid");
}

TEST(Schedule, NeverGivesWhatIsNotWell) {
  for (const Availability state : {Availability::leased, Availability::foreign, Availability::unhealthy,
                                   Availability::lost, Availability::prohibited, Availability::unknown}) {
    ScheduleInput input = machine(1);
    set_state(input.snapshot.devices[0], state);
    add(input, job("a"));
    add(input, job("b")).devices = {uuid(input, 0)};
    const Decisions decisions = schedule(input);
    EXPECT_TRUE(decisions.starts.empty()) << to_string(state);
    const std::string code = state == Availability::leased    ? "devices_busy"
                             : state == Availability::foreign ? "foreign_process"
                                                              : to_string(state);
    EXPECT_EQ(code_of(decisions, "a"), code);
    EXPECT_EQ(code_of(decisions, "b"), code);
  }
}

TEST(Schedule, SaysWhoIsOnAForeignDevice) {
  ScheduleInput input = machine(2);
  set_state(input.snapshot.devices[1], Availability::foreign);
  input.snapshot.devices[1].processes = {{.pid = 4711,
                                          .type = "compute",
                                          .user = "alice",
                                          .command = "python",
                                          .memory_used = std::nullopt,
                                          .training_id = std::nullopt}};
  add(input, job("a", 2));
  const Wait wait = wait_of(schedule(input), "a");
  EXPECT_EQ(wait.reason.code, "foreign_process");
  EXPECT_EQ(wait.frees, (Ids{"the process 4711 of alice on gpu:1"}));
  EXPECT_FALSE(wait.expected_start);
}

TEST(Schedule, ARunningTrainingHoldsItsDevicesWhateverTheSnapshotSays) {
  ScheduleInput input = machine(1);
  run(input, "r", {0}, 10);
  set_state(input.snapshot.devices[0], Availability::free);
  add(input, job("a"));
  const Decisions decisions = schedule(input);
  EXPECT_TRUE(decisions.starts.empty());
  EXPECT_EQ(wait_of(decisions, "a").expected_start, input.now + 10);
}

TEST(Schedule, OfTwoThatHoldADeviceTheLaterEndCounts) {
  ScheduleInput input = machine(1);
  run(input, "r", {0}, 10);
  run(input, "s", {0}, 1e300);
  add(input, job("a"));
  EXPECT_EQ(wait_of(schedule(input), "a").expected_start, input.now + 1e300);
  EXPECT_NE(wait_of(schedule(input), "a").frees[0].find("100 years"), std::string::npos);
  std::swap(input.running[0], input.running[1]);
  EXPECT_EQ(wait_of(schedule(input), "a").expected_start, input.now + 1e300);
  input.running[0].ends_at.reset();
  EXPECT_FALSE(wait_of(schedule(input), "a").expected_start);
}

TEST(Schedule, WhoCannotRunNowIsNotTheHead) {
  ScheduleInput input = machine(3);
  set_state(input.snapshot.devices[2], Availability::lost);
  run(input, "r", {0}, 100);
  add(input, job("cannot", 3));
  add(input, job("head", 2));
  add(input, job("short", 1, 50));
  const Decisions decisions = schedule(input);
  EXPECT_EQ(code_of(decisions, "cannot"), "lost");
  ASSERT_EQ(started(decisions), (Ids{"short"}));
  EXPECT_EQ(decisions.starts[0].overtakes, "head");
  // Once the device is back it is first again.
  set_state(input.snapshot.devices[2], Availability::free);
  EXPECT_EQ(schedule(input).starts[0].overtakes, "cannot");
}

TEST(Schedule, NamedDevicesWaitForThose) {
  ScheduleInput input = machine(2);
  run(input, "r", {0}, 10);
  add(input, job("a", 7)).devices = {uuid(input, 0)};
  add(input, job("b", 7)).devices = {uuid(input, 1), uuid(input, 1)};
  const Decisions decisions = schedule(input);
  EXPECT_EQ(started(decisions), (Ids{"b"}));
  EXPECT_EQ(decisions.starts[0].devices, (Ids{uuid(input, 1)}));
  EXPECT_EQ(wait_of(decisions, "a").reason.message,
            "0 of the 1 device that it names are free; expected at about 01:46 UTC");
}

TEST(Schedule, MemoryIsThatOfTheWholeDeviceOnceItIsFree) {
  ScheduleInput input = machine(2);
  run(input, "r", {0});
  input.snapshot.devices[0].memory_free = 0;
  input.snapshot.devices[1].memory_free = 10 * kGigabyte;  // a desktop's graphics
  add(input, job("a")).memory = 100 * kGigabyte;
  add(input, job("b", 2)).memory = 100 * kGigabyte;
  const Decisions decisions = schedule(input);
  EXPECT_EQ(code_of(decisions, "a"), "devices_busy");
  EXPECT_EQ(code_of(decisions, "b"), "too_little_memory");
}

TEST(Schedule, ManyCpuSlotsAreNotSearched) {
  ScheduleInput input = machine(0);
  for (int i = 0; i < 96; ++i) {
    Device slot = gpu(i, "EPYC");
    slot.kind = DeviceKind::cpu;
    slot.uuid = fmt::format("CPU-{}", i);
    input.snapshot.devices.push_back(slot);
    input.snapshot.last_used[slot.uuid] = 96 - i;
  }
  add(input, job("a", 3));
  for (int i = 0; i < 30; ++i) add(input, job(fmt::format("b{}", i), 3));
  const Decisions decisions = schedule(input);
  EXPECT_EQ(decisions.starts.size(), 31U);
  EXPECT_EQ(decisions.starts[0].devices, (Ids{"CPU-93", "CPU-94", "CPU-95"}));  // the longest unused
}

}  // namespace
}  // namespace saemill
