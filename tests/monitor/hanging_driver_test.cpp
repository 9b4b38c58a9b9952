// A driver that hangs costs one thread and nothing else.
#include <thread>

#include "common/base/clock.h"
#include "common/base/error.h"
#include "control/monitor/monitor.h"
#include "monitor/scenario.h"

namespace saemill {
namespace {

using State = nvml::SessionStatus::State;

TEST(Hang, IsToldWithItsAgeWhileEverythingElseGoesOn) {
  FakeDriver driver;
  Json scenario = machine_of(2);
  scenario["events"] = {{{"at_s", 0.5}, {"hang_s", 60}, {"call", "nvmlDeviceGetUtilizationRates"}}};
  driver.load(scenario);
  const double begin = monotonic_seconds();
  {
    std::mutex mutex;
    std::vector<double> ages;
    std::string last_reason, driver_message;
    Monitor monitor({.period = 0.25, .cpu_slots = 2});
    monitor.start([&](const std::shared_ptr<const Snapshot>& snapshot) {
      const std::lock_guard lock(mutex);
      if (snapshot->devices.size() != 4) return;
      ages.push_back(snapshot->devices[0].age_ms);
      last_reason = snapshot->devices[0].reason.code;
      driver_message = snapshot->driver.message;
      // CPU slots do not depend on it. (A rank of another test may be on one.)
      EXPECT_NE(snapshot->devices[2].availability, Availability::unknown);
      EXPECT_LT(snapshot->devices[2].age_ms, 1000);
    });
    std::this_thread::sleep_for(std::chrono::milliseconds(4500));
    EXPECT_EQ(monitor.driver().state, State::hanging);
    const double asked = monotonic_seconds();
    const auto snapshot = monitor.sample_now(0.3);
    EXPECT_LT(monotonic_seconds() - asked, 2.0);
    EXPECT_EQ(snapshot->devices[0].availability, Availability::unknown);
    const std::lock_guard lock(mutex);
    EXPECT_GT(ages.size(), 8U);
    EXPECT_GT(ages.back(), 2000);
    EXPECT_EQ(last_reason, "stale");
    EXPECT_NE(driver_message.find("nvmlDeviceGetUtilizationRates"), std::string::npos) << driver_message;
  }
  EXPECT_LT(monotonic_seconds() - begin, 20);  // stopping did not wait for the driver
  // Beside a thread that still hangs no second one is started.
  nvml::Session second;
  EXPECT_EQ(second.read_now(0.2).state, State::hanging);
  EXPECT_EQ(second.status().reading, nullptr);
}

TEST(Hang, EndsWhenTheDriverAnswersAgain) {
  FakeDriver driver;
  Json scenario = machine_of(2);
  scenario["events"] = {{{"at_s", 0}, {"hang_s", 3}, {"call", "nvmlDeviceGetMemoryInfo_v2"}}};
  driver.load(scenario);
  {
    nvml::Session session;
    EXPECT_EQ(session.read_now(0.2).state, State::starting);
    std::this_thread::sleep_for(std::chrono::milliseconds(2300));
    EXPECT_EQ(session.status().state, State::hanging);
    EXPECT_EQ(session.read_now(5).state, State::answering);
    EXPECT_EQ(session.status().reading->devices.size(), 2U);
  }
  nvml::Session second;  // the first has ended, so this one may start
  EXPECT_EQ(second.read_now(2).state, State::answering);
}

TEST(Hang, ASessionStartsOnceTheOneThatHungIsGone) {
  FakeDriver driver;
  Json scenario = machine_of(1);
  scenario["events"] = {{{"at_s", 0}, {"hang_s", 2}, {"call", "nvmlDeviceGetUUID"}}};
  driver.load(scenario);
  {
    nvml::Session session;
    session.read_now(0.2);
  }
  nvml::Session second;
  EXPECT_EQ(second.read_now(0.1).state, State::hanging);
  std::this_thread::sleep_for(std::chrono::milliseconds(2500));
  EXPECT_EQ(second.read_now(2).state, State::answering);
}

// NVML starts for seconds: meanwhile nobody knows whether there are GPUs, so there are no CPU slots for want
// of them.
TEST(SlowStart, CpuSlotsWaitForTheDriversFirstWord) {
  FakeDriver driver;
  Json scenario = machine_of(2);
  scenario["events"] = {{{"at_s", 0}, {"hang_s", 3.5}, {"call", "nvmlInitWithFlags"}}};
  driver.load(scenario);
  Monitor monitor({.period = 0.25, .data = driver.folder()});
  auto snapshot = monitor.sample_now(0.2);
  EXPECT_EQ(snapshot->driver.state, "starting");
  EXPECT_TRUE(gpus_unknown(snapshot->driver));
  snapshot = monitor.sample_now(2.3);
  EXPECT_EQ(snapshot->driver.state, "hanging");
  EXPECT_TRUE(gpus_unknown(snapshot->driver));
  EXPECT_TRUE(snapshot->devices.empty());
  snapshot = monitor.sample_now(10);
  EXPECT_FALSE(gpus_unknown(snapshot->driver));
  EXPECT_EQ(snapshot->devices.size(), 2U);
}

TEST(SlowStart, ADriverThatRefusesIsNoReasonForCpuSlots) {
  FakeDriver driver;
  Json scenario = machine_of(1);
  scenario["errors"] = {{"nvmlInitWithFlags", 18}};
  driver.load(scenario);
  Monitor monitor({.data = driver.folder()});
  auto snapshot = monitor.sample_now();
  EXPECT_EQ(snapshot->driver.state, "failing");
  EXPECT_TRUE(gpus_unknown(snapshot->driver));
  EXPECT_TRUE(snapshot->devices.empty());
  scenario["errors"] = Json::object();
  scenario["gpus"] = Json::array();
  driver.write(scenario);
  snapshot = monitor.sample_now();
  EXPECT_FALSE(gpus_unknown(snapshot->driver));
  EXPECT_GE(snapshot->devices.size(), 1U);  // it is sure that there is no GPU
}

TEST(SlowStart, CpuSlotsAreThereWhereEveryGpuIsLeftOut) {
  FakeDriver driver;
  driver.load(machine_of(2));
  Monitor none({.visible_devices = "-1", .data = driver.folder()});
  const auto snapshot = none.sample_now();
  ASSERT_GE(snapshot->devices.size(), 3U);
  EXPECT_EQ(snapshot->devices[0].availability, Availability::prohibited);
  EXPECT_EQ(snapshot->devices[2].kind, DeviceKind::cpu);
}

TEST(Session, WithoutALibrarySaysSo) {
  nvml::Session session;  // the fake is not loaded in this process
  const auto status = session.read_now(2);
  if (status.state == State::answering) GTEST_SKIP() << "this machine has an NVIDIA driver";
  EXPECT_TRUE(status.state == State::absent || status.state == State::failing);
  EXPECT_FALSE(status.message.empty());
}

TEST(MonitorLoop, SamplesAtItsPeriodAndReportsItsCost) {
  FakeDriver driver;
  driver.load(machine_of(8));
  Monitor monitor({.period = 0.25, .cpu_slots = 0});
  std::atomic<int> snapshots{0};
  monitor.start([&](const auto&) { ++snapshots; });
  std::this_thread::sleep_for(std::chrono::milliseconds(2000));
  monitor.stop();
  EXPECT_GE(snapshots, 4);
  EXPECT_LE(snapshots, 12);
  ASSERT_NE(monitor.latest(), nullptr);
  EXPECT_EQ(monitor.latest()->devices.size(), 8U);
  EXPECT_EQ(monitor.cost().samples, snapshots);
  EXPECT_GT(monitor.cost().mean_ms, 0);
  EXPECT_GT(monitor.cost().cpu_percent, 0);
  EXPECT_THROW(Monitor({.period = 0.1}), Error);
  EXPECT_THROW(Monitor({.period = 61}), Error);
}

}  // namespace
}  // namespace saemill
