// Look, take, look again; and what leases make of the inventory.
#include <unistd.h>

#include <atomic>
#include <thread>

#include "common/base/clock.h"
#include "common/base/error.h"
#include "common/base/proc.h"
#include "control/monitor/cpu_slots.h"
#include "control/monitor/reserve.h"
#include "monitor/scenario.h"

namespace saemill {
namespace {

LeaseHolder holder(const std::string& job) {
  return {.job_id = job,
          .job_type = "training",
          .server_id = "s",
          .host = host_name(),
          .boot_id = boot_id(),
          .pid = ::getpid(),
          .start_time = process_start_time(::getpid()),
          .server_pid = ::getpid(),
          .server_start_time = process_start_time(::getpid())};
}

class Reserve : public testing::Test {
 protected:
  void begin(const Json& scenario) {
    driver.load(scenario);
    database = std::make_unique<Database>(url());
    leases = std::make_unique<Leases>(*database);
    monitor = std::make_unique<Monitor>(
        MonitorOptions{.cpu_slots = 1, .data = driver.folder(), .leases = leases.get()});
  }
  std::string url() const { return "sqlite:" + (driver.folder() / "saemill.db").string(); }

  FakeDriver driver;
  std::unique_ptr<Database> database;
  std::unique_ptr<Leases> leases;
  std::unique_ptr<Monitor> monitor;
};

TEST_F(Reserve, GivesAGangAndShowsIt) {
  begin(machine_of(4));
  EXPECT_TRUE(reserve(*monitor, *leases, {gpu_uuid(0), gpu_uuid(2)}, holder("a")).empty());
  const auto snapshot = monitor->sample_now();
  EXPECT_EQ(snapshot->devices[0].availability, Availability::leased);
  EXPECT_EQ(snapshot->devices[0].current_job, "a");
  EXPECT_EQ(to_json(snapshot->devices[2])["current_job_type"], "training");
  EXPECT_EQ(snapshot->devices[1].availability, Availability::free);
  const auto refused = reserve(*monitor, *leases, {gpu_uuid(1), gpu_uuid(2)}, holder("b"));
  ASSERT_EQ(refused.size(), 1U);
  EXPECT_EQ(refused[0].uuid, gpu_uuid(2));
  EXPECT_EQ(refused[0].reason.code, "leased");
  EXPECT_EQ(leases->active().size(), 2U);  // all or nothing
  leases->release("a");
  EXPECT_TRUE(reserve(*monitor, *leases, {gpu_uuid(1), gpu_uuid(2)}, holder("b")).empty());
  EXPECT_GT(monitor->sample_now()->last_used.at(gpu_uuid(0)), 0);
}

TEST_F(Reserve, AStrangerIsRefusedBefore) {
  Json scenario = machine_of(2);
  scenario["gpus"][1]["processes"] = {{{"pid", ::getppid()}, {"memory_used", 4000000000}}};
  begin(scenario);
  const auto refused = reserve(*monitor, *leases, {gpu_uuid(0), gpu_uuid(1)}, holder("a"));
  ASSERT_EQ(refused.size(), 1U);
  EXPECT_EQ(refused[0].reason.code, "process");
  EXPECT_TRUE(leases->active().empty());
  EXPECT_EQ(reserve(*monitor, *leases, {"GPU-none"}, holder("a"))[0].reason.code, "does_not_exist");
}

// The process appears after the check and before the commit: the database is held meanwhile, so that the
// reservation waits between the two.
TEST_F(Reserve, AStrangerBetweenCheckAndCommitGivesTheLeaseBack) {
  Json scenario = machine_of(2);
  begin(scenario);
  std::vector<Refusal> refused;
  std::thread reserving;
  Database other(url(), 1);
  other.write([&](soci::session&) {
    reserving = std::thread([&] {
      refused = reserve(*monitor, *leases, {gpu_uuid(0), gpu_uuid(1)}, holder("a"));
    });
    std::this_thread::sleep_for(std::chrono::milliseconds(700));  // it has looked by now, and found both free
    scenario["gpus"][1]["processes"] = {{{"pid", ::getppid()}, {"memory_used", 4000000000}}};
    driver.write(scenario);
  });
  reserving.join();
  ASSERT_EQ(refused.size(), 1U);
  EXPECT_EQ(refused[0].uuid, gpu_uuid(1));
  EXPECT_EQ(refused[0].reason.code, "leased_with_stranger");
  EXPECT_TRUE(leases->active().empty());
}

// 400 ms for a reading of eight GPUs: slow, but the truth.
TEST_F(Reserve, ASlowDriverIsWaitedFor) {
  Json scenario = machine_of(8);
  scenario["delays_ms"] = {{"nvmlDeviceGetUtilizationRates", 50}};
  begin(scenario);
  monitor->start();
  for (const char* job : {"a", "b", "c"}) {
    const auto refused =
        reserve(*monitor, *leases, {gpu_uuid(*job - 'a'), gpu_uuid(*job - 'a' + 4)}, holder(job));
    EXPECT_TRUE(refused.empty()) << refused[0].reason.message;
  }
  EXPECT_EQ(leases->active().size(), 6U);
  const double asked = monotonic_seconds();
  EXPECT_GE(monitor->sample_now(5)->driver.read_at, asked);
}

TEST_F(Reserve, ADriverThatHangsIsRefusedOnceItWasWaitedFor) {
  Json scenario = machine_of(1);
  begin(scenario);
  std::atomic<int> snapshots{0};
  monitor->start([&](const auto&) { ++snapshots; });
  monitor->sample_now();
  scenario["events"] = {{{"at_s", 0}, {"hang_s", 60}, {"call", "nvmlDeviceGetPowerUsage"}}};
  driver.write(scenario);
  std::vector<Refusal> refused;
  double waited = 0;
  std::thread reserving([&] {
    const double asked = monotonic_seconds();
    refused = reserve(*monitor, *leases, {gpu_uuid(0)}, holder("a"));
    waited = monotonic_seconds() - asked;
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(500));
  const int before = snapshots;
  const double asked = monotonic_seconds();
  monitor->sample_now(0);
  EXPECT_TRUE(reserve(*monitor, *leases, {cpu_slot_uuid(host_name(), 0)}, holder("b")).empty());
  EXPECT_LT(monotonic_seconds() - asked, 1);  // nobody else waits
  reserving.join();
  EXPECT_GE(snapshots, before + 2);
  EXPECT_GE(waited, 4.9);
  EXPECT_LT(waited, 7);
  ASSERT_EQ(refused.size(), 1U);
  EXPECT_EQ(refused[0].reason.code, "stale");
  EXPECT_NE(refused[0].reason.message.find("nvmlDeviceGetPowerUsage"), std::string::npos)
      << refused[0].reason.message;
  EXPECT_EQ(leases->active().size(), 1U);
  // Now it is known to hang.
  const double again = monotonic_seconds();
  EXPECT_EQ(reserve(*monitor, *leases, {gpu_uuid(0)}, holder("c")).size(), 1U);
  EXPECT_LT(monotonic_seconds() - again, 1);
}

// Whoever looks now and then, as the queue does, must not take the events from those who tell them.
TEST_F(Reserve, EventsAreToldByTheSamplesOfTheMonitorAlone) {
  Json scenario = machine_of(1);
  begin(scenario);
  std::atomic<int> xids{0};
  monitor->start([&](const std::shared_ptr<const Snapshot>& snapshot) {
    xids += static_cast<int>(snapshot->events.size());
  });
  monitor->sample_now();
  for (int i = 0; i < 3; ++i) scenario["events"].push_back({{"at_s", 0.1 * i}, {"gpu", 0}, {"xid", 31}});
  driver.write(scenario);
  for (int i = 0; i < 30; ++i) {
    EXPECT_TRUE(monitor->sample_now()->events.empty());
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  monitor->stop();
  EXPECT_EQ(xids, 3);
}

TEST_F(Reserve, LeasesFollowTheUuidWhenIndicesChange) {
  Json scenario = machine_of(3);
  begin(scenario);
  ASSERT_TRUE(reserve(*monitor, *leases, {gpu_uuid(0)}, holder("a")).empty());
  monitor.reset();
  std::reverse(scenario["gpus"].begin(), scenario["gpus"].end());  // as after a restart of the machine
  driver.write(scenario);
  Monitor after({.cpu_slots = 0, .data = driver.folder(), .leases = leases.get()});
  const auto snapshot = after.sample_now();
  ASSERT_EQ(snapshot->devices.size(), 3U);
  EXPECT_EQ(snapshot->devices[2].uuid, gpu_uuid(0));
  EXPECT_EQ(snapshot->devices[2].availability, Availability::leased);
  EXPECT_EQ(snapshot->devices[0].availability, Availability::free);
}

TEST_F(Reserve, ProcessesOfTheJobAreNotStrangers) {
  Json scenario = machine_of(2);
  begin(scenario);
  ASSERT_TRUE(reserve(*monitor, *leases, {gpu_uuid(0)}, holder("a")).empty());
  scenario["gpus"][0]["processes"] = {{{"pid", ::getpid()}, {"memory_used", 4000000000}}};
  driver.write(scenario);
  const Device own = monitor->sample_now()->devices[0];
  EXPECT_EQ(own.reason.code, "leased");
  EXPECT_EQ(own.processes->at(0).training_id, "a");
  scenario["gpus"][0]["processes"].push_back({{"pid", 1}, {"memory_used", 1000}});
  driver.write(scenario);
  EXPECT_EQ(monitor->sample_now()->devices[0].reason.code, "leased_with_stranger");
}

TEST_F(Reserve, ALeasedDeviceThatVanishedIsLost) {
  Json scenario = machine_of(2);
  begin(scenario);
  ASSERT_TRUE(reserve(*monitor, *leases, {gpu_uuid(1)}, holder("a")).empty());
  scenario["gpus"].erase(1);
  driver.write(scenario);
  const auto devices = monitor->sample_now()->devices;
  const Device* gone = find_device(devices, gpu_uuid(1));
  ASSERT_NE(gone, nullptr);
  EXPECT_EQ(gone->availability, Availability::lost);
  EXPECT_EQ(gone->current_job, "a");
}

TEST_F(Reserve, AnAbsentDatabaseKeepsWhatIsKnown) {
  begin(machine_of(2));
  ASSERT_TRUE(reserve(*monitor, *leases, {gpu_uuid(1)}, holder("a")).empty());
  database->write([](soci::session&) {});  // the connection is open
  for (const char* suffix : {"", "-wal", "-shm"})
    std::filesystem::remove(driver.folder() / (std::string("saemill.db") + suffix));
  std::ofstream(driver.folder() / "saemill.db") << "not a database, by far: it has been overwritten";
  Database* lost = nullptr;
  EXPECT_THROW(lost = new Database(url(), 1), Error);
  delete lost;
  // The open connection still sees the removed file: what was leased stays leased.
  EXPECT_EQ(monitor->sample_now()->devices[1].availability, Availability::leased);
}

}  // namespace
}  // namespace saemill
