#include "control/monitor/inventory.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <thread>

#include "common/base/clock.h"
#include "common/base/error.h"
#include "common/base/proc.h"
#include "control/monitor/cpu_slots.h"
#include "control/monitor/event_detector.h"
#include "control/monitor/health.h"

namespace saemill {
namespace {

Device gpu() {
  Device device;
  device.uuid = "GPU-1";
  device.name = "NVIDIA H200";
  device.memory_total = 100;
  device.memory_used = 10;
  device.processes.emplace();
  return device;
}

Lease lease_of(const std::string& uuid) {
  Lease lease;
  lease.uuid = uuid;
  lease.holder.job_id = "job";
  lease.holder.host = "here";
  lease.holder.pid = ::getpid();
  lease.holder.start_time = process_start_time(::getpid());
  return lease;
}

Availability decide(Device device, const Lease* lease = nullptr, const InventoryInput& input = {}) {
  decide_availability(device, lease, input);
  EXPECT_FALSE(device.reason.code.empty());
  EXPECT_FALSE(device.reason.message.empty());
  return device.availability;
}

TEST(Availability, EachStateHasItsReason) {
  EXPECT_EQ(decide(gpu()), Availability::free);
  const Lease lease = lease_of("GPU-1");
  EXPECT_EQ(decide(gpu(), &lease), Availability::leased);
  Device device = gpu();
  device.processes->push_back(
      {.pid = 1, .type = "compute", .user = "root", .command = "init", .memory_used = 5, .training_id = {}});
  EXPECT_EQ(decide(device), Availability::foreign);
  device = gpu();
  device.health.reasons.push_back({"xid", "XID 79"});
  EXPECT_EQ(decide(device), Availability::unhealthy);
  EXPECT_EQ(decide(device, &lease), Availability::unhealthy);  // the job sits on a broken device
  device.lost = Reason{"lost", "gone"};
  EXPECT_EQ(decide(device), Availability::lost);
  device = gpu();
  device.compute_mode = "prohibited";
  EXPECT_EQ(decide(device), Availability::prohibited);
  device = gpu();
  device.age_ms = 5000;
  EXPECT_EQ(decide(device), Availability::unknown);
  EXPECT_EQ(decide(device, &lease), Availability::leased);  // a lease does not depend on the driver
}

TEST(Availability, HiddenProcessesAreSeenByWhatTheyUse) {
  InventoryInput container;
  container.pids_hidden = true;
  Device device = gpu();
  EXPECT_EQ(decide(device, nullptr, container), Availability::free);
  device.memory_used = int64_t{300} << 20;
  EXPECT_EQ(decide(device, nullptr, container), Availability::foreign);
  EXPECT_EQ(decide(device), Availability::free);  // not in a container: the empty list is to be trusted
  device.processes.reset();
  EXPECT_EQ(decide(device), Availability::foreign);
  device.memory_used = 0;
  device.utilization = 50;
  EXPECT_EQ(decide(device), Availability::foreign);
}

TEST(Availability, AProcessOfADeadHolderIsAStranger) {
  Device device = gpu();
  device.processes->push_back({.pid = ::getpid(),
                               .type = "compute",
                               .user = "me",
                               .command = "x",
                               .memory_used = 5,
                               .training_id = {}});
  Lease lease = lease_of("GPU-1");
  decide_availability(device, &lease, {});
  EXPECT_EQ(device.reason.code, "leased");
  EXPECT_EQ(device.processes->at(0).training_id, "job");
  lease.holder.start_time += 1;  // that pid is another's now
  device.processes->at(0).training_id.reset();
  decide_availability(device, &lease, {});
  EXPECT_EQ(device.reason.code, "leased_with_stranger");
  EXPECT_NE(device.reason.message.find("pid"), std::string::npos);
}

TEST(Inventory, LeasesOfOtherHostsAreForTheirDevices) {
  InventoryInput input;
  input.host = "here";
  Device slot;
  slot.kind = DeviceKind::cpu;
  slot.uuid = "CPU-here-0";
  input.cpu_slots = {slot};
  Lease other = lease_of("GPU-77");
  other.holder.host = "there";
  input.leases = {other, lease_of("CPU-here-0"), lease_of("GPU-9"), lease_of("CPU-here-5")};
  const auto devices = build_inventory(input);
  ASSERT_EQ(devices.size(), 2U);  // a slot that was configured away is not a lost GPU
  EXPECT_EQ(devices[0].availability, Availability::leased);
  EXPECT_EQ(devices[1].uuid, "GPU-9");
  EXPECT_EQ(devices[1].availability, Availability::lost);
}

TEST(Inventory, AggregateSumsWhatIsKnown) {
  std::vector<Device> devices(3, gpu());
  devices[0].utilization = 30;
  devices[1].utilization = 90;
  devices[1].temperature = 70;
  devices[2].power_draw = 100;
  devices[2].mig_parent = true;
  for (Device& device : devices) decide_availability(device, nullptr, {});
  const auto json = aggregate(devices);
  EXPECT_EQ(json["gpu_count"], 3);
  EXPECT_EQ(json["total_memory_used"], 20);
  EXPECT_EQ(json["total_memory_total"], 200);
  EXPECT_EQ(json["average_utilization"], 60);
  EXPECT_EQ(json["max_utilization"], 90);
  EXPECT_EQ(json["max_temperature"], 70);
  EXPECT_EQ(json["total_power_draw"], 100);
  EXPECT_EQ(json["counts"]["free"], 2);
  EXPECT_EQ(json["counts"]["prohibited"], 1);
  const auto nothing = aggregate({});
  EXPECT_FALSE(nothing.contains("max_temperature"));  // absent, not zero
  EXPECT_EQ(nothing["counts"]["free"], 0);
}

TEST(Devices, AreFoundByIndexNameAndUuid) {
  std::vector<Device> devices(3);
  for (int i = 0; i < 3; ++i) devices[static_cast<size_t>(i)].index = i;
  devices[0].uuid = "GPU-12345678-aaaa";
  devices[1].uuid = "GPU-87654321-bbbb";
  devices[2].uuid = "CPU-here-0";
  devices[2].kind = DeviceKind::cpu;
  for (const char* id : {"1", "gpu:1", "GPU-87654321-bbbb", "GPU-87654321"})
    EXPECT_EQ(find_device(devices, id), &devices[1]) << id;
  for (const char* id : {"2", "cpu:0", "CPU-here-0"}) EXPECT_EQ(find_device(devices, id), &devices[2]) << id;
  for (const char* id : {"3", "gpu:2", "cpu:1", "GPU-8765", "", "-1", "01"})
    EXPECT_EQ(find_device(devices, id), nullptr) << id;
  Topology topology;
  topology.set("b", "a", {.nvlinks = 2, .level = 10});
  EXPECT_EQ(topology.between("a", "b").nvlinks, 2);
  EXPECT_EQ(topology.between("a", "c").level, 50);
}

TEST(Devices, AreReadBackAsTheyWereWritten) {
  Device full;
  full.index = 3, full.uuid = "GPU-1", full.kind = DeviceKind::mig, full.name = "NVIDIA H200 MIG";
  full.pci_bus_id = "0000:01:00.0", full.parent_uuid = "GPU-0";
  full.memory_total = 100, full.memory_used = 60, full.memory_free = 30, full.memory_reserved = 10;
  full.utilization = 1.5, full.memory_utilization = 2.5, full.temperature = 3, full.power_draw = 4;
  full.power_limit = 5, full.energy = 6, full.fan_speed = 7, full.clock_sm = 8, full.clock_memory = 9;
  full.throttle = std::vector<std::string>{"hw_slowdown"};
  full.pcie = {1, 2}, full.nvlink = {3, std::nullopt};
  full.ecc = {1, 2, 3, 4, true, false};
  full.last_xid = 79, full.compute_mode = "default", full.persistence_mode = true;
  full.health.reasons = {{"xid", "fell off the bus"}};
  full.processes = {{7, "compute", "alice", "python", 5, "t-1"}, {8, "mps", {}, {}, {}, {}}};
  full.availability = Availability::unhealthy, full.reason = {"xid", "fell off the bus"};
  full.current_job = "t-1", full.current_job_type = "training";
  full.sampled_at = 1'700'000'000.25, full.age_ms = 12;
  for (const Device& device : {full, Device{}})
    EXPECT_EQ(to_json(device_from_json(to_json(device))).dump(), to_json(device).dump());
  EXPECT_THROW(device_from_json({{"index", 1}}), Error);
  auto newer = to_json(full);
  newer["availability"] = "asleep";
  EXPECT_THROW(device_from_json(newer), Error);
}

TEST(Health, ApplicationErrorsLeaveAGpuWell) {
  HealthTracker tracker;
  for (const int64_t xid : {11, 13, 31, 32, 43, 45, 68, 69, 109}) tracker.on_xid(xid, 0);
  EXPECT_TRUE(tracker.health().ok());
  EXPECT_EQ(tracker.last_xid(), 109);
  tracker.on_xid(48, 0);
  EXPECT_EQ(tracker.health().reasons.at(0).code, "xid");
  tracker.on_reset();
  EXPECT_TRUE(tracker.health().ok());
  EccCounts ecc;
  ecc.uncorrected = 2;
  ecc.remap_pending = true;
  tracker.on_ecc(ecc);
  EXPECT_EQ(tracker.health().reasons.size(), 2U);
  ecc.uncorrected = 0;
  ecc.remap_pending = false;
  ecc.remap_failure = true;
  tracker.on_ecc(ecc);
  EXPECT_EQ(tracker.health().reasons.at(0).code, "remap_failure");
  tracker.on_reset_required();
  EXPECT_EQ(tracker.health().reasons.size(), 2U);
}

TEST(Health, XidsThatNeedNoResetAreNotices) {
  HealthTracker tracker;
  for (const int64_t xid : {63, 92, 94, 137, 154}) {
    EXPECT_EQ(xid_class(xid), XidClass::notice) << xid;
    EXPECT_STRNE(xid_words(xid), "") << xid;
    tracker.on_xid(xid, 0);
  }
  EXPECT_TRUE(tracker.health().ok());
  EXPECT_EQ(tracker.last_xid(), 154);
  for (const int64_t xid : {46, 48, 62, 64, 74, 79, 95, 110, 119, 120, 136, 140, 143, 155, 158, 999})
    EXPECT_EQ(xid_class(xid), XidClass::fault) << xid;
}

TEST(Health, AnXidThatNeedsNoResetIsToldAsAWarning) {
  Snapshot snapshot;
  snapshot.driver.state = "answering";
  snapshot.devices = {gpu()};
  decide_availability(snapshot.devices[0], nullptr, {});
  EventDetector detector("here");
  detector.next(snapshot);
  snapshot.events = {{.uuid = "GPU-1", .xid = 94}, {.uuid = "GPU-1", .xid = 14}};
  const Happened happened = detector.next(snapshot);
  ASSERT_EQ(happened.events.size(), 2U);
  for (const MachineEvent& event : happened.events) EXPECT_EQ(event.severity, Severity::warning);
  EXPECT_EQ(happened.events[0].message,
            "gpu:0 (NVIDIA H200): XID 94, a memory error that was contained: only the program that met it "
            "must be restarted");
  EXPECT_EQ(happened.events[1].message, "gpu:0 (NVIDIA H200): XID 14");
  EXPECT_EQ(happened.changes[0].data["application"], false);
}

TEST(Health, TheDriversRecoveryActionDecides) {
  HealthTracker tracker;
  EccCounts ecc;
  ecc.uncorrected = 1;
  tracker.on_ecc(ecc);
  EXPECT_FALSE(tracker.health().ok());  // nobody says that it was contained
  tracker.on_xid(94, 0);
  tracker.on_recovery_action(0);
  EXPECT_TRUE(tracker.health().ok());
  tracker.on_recovery_action(1);
  ASSERT_EQ(tracker.health().reasons.size(), 1U);
  EXPECT_EQ(tracker.health().reasons[0].code, "recovery_action");
  EXPECT_NE(tracker.health().reasons[0].message.find("reset the GPU"), std::string::npos);
  tracker.on_recovery_action(2);
  EXPECT_NE(tracker.health().reasons[0].message.find("reboot"), std::string::npos);
  tracker.on_recovery_action(77);
  EXPECT_NE(tracker.health().reasons[0].message.find("77"), std::string::npos);
  tracker.on_recovery_action(0);
  tracker.on_xid(79, 0);
  EXPECT_EQ(tracker.health().reasons[0].code, "xid");  // a fault stays one
  tracker.on_recovery_action(std::nullopt);
  EXPECT_EQ(tracker.health().reasons.size(), 2U);
}

TEST(Host, TellsThisMachine) {
  HostReader reader(std::filesystem::temp_directory_path());
  reader.read(monotonic_seconds(), epoch_seconds());
  const double until = monotonic_seconds() + 0.1;
  while (monotonic_seconds() < until) {
  }
  const HostSample host = reader.read(monotonic_seconds(), epoch_seconds());
  EXPECT_GE(host.cores, 1);
  EXPECT_GT(host.memory_total, 0);
  EXPECT_LE(host.memory_available, host.memory_total);
  ASSERT_TRUE(host.cpu_utilization.has_value());
  EXPECT_GT(*host.cpu_utilization, 0);
  EXPECT_LE(*host.cpu_utilization, 100);
  EXPECT_TRUE(host.network.rx.has_value());
  EXPECT_GT(host.disk_free.value_or(0), 0);
  const auto json = to_json(host);
  for (const char* key : {"cpu", "memory", "swap", "network", "disk"}) EXPECT_TRUE(json.contains(key)) << key;
}

// A process named as a rank is, that names a slot, and works.
pid_t start_rank_of(int slot) {
  const pid_t child = ::fork();
  if (child != 0) return child;
  // exec gives the name and the arguments; the shell's loop is the work.
  const std::string folder =
      (std::filesystem::temp_directory_path() / ("slots-" + std::to_string(::getppid()))).string();
  std::filesystem::create_directories(folder);
  std::error_code exists;
  std::filesystem::copy_file("/bin/sh", folder + "/saemill-worker", exists);
  ::execl((folder + "/saemill-worker").c_str(), "saemill-worker", "-c", "while :; do :; done", "--device",
          ("cpu:" + std::to_string(slot)).c_str(), nullptr);
  ::_exit(127);
}

TEST(CpuSlots, ShowWhatTheirRankDoes) {
  constexpr int kIdle = 60, kBusy = 61;  // ranks of other tests may be on the first ones at this moment
  const pid_t rank = start_rank_of(kBusy);
  HostReader host_reader(std::filesystem::temp_directory_path());
  CpuSlots slots(kBusy + 1);
  std::vector<Device> devices;
  for (int i = 0; i < 60; ++i) {
    devices = slots.read(host_reader.read(monotonic_seconds(), epoch_seconds()), monotonic_seconds(),
                         epoch_seconds());
    if (devices[kBusy].utilization.value_or(0) > 10) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  ::kill(rank, SIGKILL);
  ::waitpid(rank, nullptr, 0);
  std::filesystem::remove_all(std::filesystem::temp_directory_path() /
                              ("slots-" + std::to_string(::getpid())));
  ASSERT_EQ(devices.size(), kBusy + 1U);
  EXPECT_EQ(devices[kIdle].uuid, cpu_slot_uuid(host_name(), kIdle));
  EXPECT_EQ(devices[kIdle].utilization, 0);
  EXPECT_EQ(devices[kIdle].memory_used, 0);
  ASSERT_EQ(devices[kBusy].processes->size(), 1U);
  EXPECT_EQ(devices[kBusy].processes->at(0).pid, rank);
  EXPECT_GT(devices[kBusy].utilization.value_or(0), 10);
  EXPECT_LE(*devices[kBusy].utilization, 100);
  EXPECT_GT(*devices[kBusy].memory_used, 100000);
  EXPECT_EQ(decide(devices[kBusy]), Availability::foreign);
  EXPECT_EQ(*devices[kIdle].memory_total, *devices[kBusy].memory_total);
  const auto after = slots.read(host_reader.read(monotonic_seconds(), epoch_seconds()), monotonic_seconds(),
                                epoch_seconds());
  EXPECT_EQ(after[kBusy].utilization, 0);
  EXPECT_TRUE(after[kBusy].processes->empty());
}

}  // namespace
}  // namespace saemill
