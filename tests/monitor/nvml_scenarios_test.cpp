// What the reader makes of a driver, scenario by scenario.
#include <sys/wait.h>

#include <algorithm>
#include <cmath>
#include <thread>

#include "common/base/clock.h"
#include "control/monitor/inventory.h"
#include "control/monitor/nvml/nvml_processes.h"
#include "control/monitor/nvml/nvml_reader.h"
#include "monitor/scenario.h"

namespace saemill {
namespace {

std::unique_ptr<nvml::Reader> open_reader() {
  std::string why;
  auto library = nvml::Library::open(why);
  EXPECT_NE(library, nullptr) << why;
  return std::make_unique<nvml::Reader>(library);
}

nvml::Reading read(nvml::Reader& reader) {
  return reader.read(monotonic_seconds(), epoch_seconds());
}

// What everybody sees of a reading: with availability.
std::vector<Device> inventory_of(const nvml::Reading& reading) {
  InventoryInput input;
  input.gpus.state = nvml::SessionStatus::State::answering;
  input.gpus.reading = std::make_shared<nvml::Reading>(reading);
  return build_inventory(input);
}

class Machines : public testing::TestWithParam<int> {};

TEST_P(Machines, EveryValueArrives) {
  const int gpus = GetParam();
  FakeDriver driver;
  driver.load(machine_of(gpus));
  const auto reader = open_reader();
  const auto reading = read(*reader);
  EXPECT_EQ(reading.result, nvml::kSuccess);
  EXPECT_EQ(reading.driver_version, "570.86.10");
  const auto devices = inventory_of(reading);
  ASSERT_EQ(devices.size(), static_cast<size_t>(gpus));
  for (int i = 0; i < gpus; ++i) {
    const auto json = to_json(devices[static_cast<size_t>(i)]);
    EXPECT_EQ(json["index"], i);
    EXPECT_EQ(json["uuid"], gpu_uuid(i));
    EXPECT_EQ(json["kind"], "gpu");
    EXPECT_EQ(json["pci_bus_id"], fmt::format("00000000:{:02x}:00.0", 16 + i));
    EXPECT_EQ(json["memory_total"], 150000000000);
    EXPECT_EQ(json["memory_used"], 1000000 * (i + 1));
    EXPECT_EQ(json["memory_reserved"], 600000000);
    EXPECT_EQ(json["utilization"], i);
    EXPECT_EQ(json["memory_utilization"], i + 1);
    EXPECT_EQ(json["temperature"], 30 + i);
    EXPECT_DOUBLE_EQ(json["power_draw"], 70.5 + i);
    EXPECT_EQ(json["power_limit"], 700);
    EXPECT_GE(json["energy"], 1000);
    EXPECT_EQ(json["fan_speed"], 20 + i);
    EXPECT_EQ(json["clocks"]["sm"], 1980);
    EXPECT_EQ(json["clocks"]["memory"], 2619);
    EXPECT_EQ(json["throttle"].size(), i == 1 ? 2U : 0U);
    EXPECT_EQ(json["ecc"]["corrected"], 3);
    EXPECT_EQ(json["ecc"]["remapped_uncorrected"], 2);
    EXPECT_EQ(json["compute_mode"], "default");
    EXPECT_EQ(json["availability"], "free");
    EXPECT_EQ(json["health"]["ok"], true);
  }
}
INSTANTIATE_TEST_SUITE_P(Of, Machines, testing::Values(1, 4, 8, 16));

TEST(Nvml, RatesComeFromCountersAndEventsAreNotWaitedFor) {
  FakeDriver driver;
  Json scenario = machine_of(2);
  scenario["log"] = (driver.folder() / "calls.log").string();
  driver.load(scenario);
  const auto reader = open_reader();
  EXPECT_FALSE(read(*reader).devices[0].pcie.tx.has_value());  // one reading of a counter tells no rate
  std::this_thread::sleep_for(std::chrono::milliseconds(400));
  const Device device = read(*reader).devices[0];
  EXPECT_NEAR(device.pcie.tx.value_or(0), 5e6, 1e6);
  EXPECT_NEAR(device.pcie.rx.value_or(0), 8e6, 1.6e6);
  EXPECT_NEAR(device.nvlink.tx.value_or(0), 20480000, 4e6);
  std::ifstream calls(driver.folder() / "calls.log");
  int waits = 0;
  for (std::string line; std::getline(calls, line);) {
    EXPECT_NE(line, "nvmlDeviceGetPcieThroughput");
    if (line.starts_with("nvmlEventSetWait_v2")) {
      ++waits;
      EXPECT_EQ(line, "nvmlEventSetWait_v2 0");
    }
  }
  EXPECT_GT(waits, 0);
}

TEST(Nvml, CountersThatGoBackTellNoRate) {
  nvml::RateMeter meter;
  EXPECT_FALSE(meter.update(1000, 1).has_value());
  EXPECT_DOUBLE_EQ(meter.update(3000, 2).value_or(0), 2000);
  EXPECT_FALSE(meter.update(10, 3).has_value());
  EXPECT_DOUBLE_EQ(meter.update(20, 4).value_or(0), 10);
}

TEST(Nvml, MixedModelsAndMig) {
  FakeDriver driver;
  Json scenario = machine_of(3);
  scenario["gpus"][1]["name"] = "NVIDIA A100";
  scenario["gpus"][1]["mig"] = Json::array();
  for (int i = 0; i < 2; ++i)
    scenario["gpus"][1]["mig"].push_back({{"uuid", fmt::format("MIG-{}", i)},
                                          {"gpu_instance_id", i + 1},
                                          {"compute_instance_id", 0},
                                          {"memory_total", 20000000000},
                                          {"memory_used", 5000000},
                                          {"processes", Json::array()}});
  driver.load(scenario);
  const auto reader = open_reader();
  const auto devices = inventory_of(read(*reader));
  ASSERT_EQ(devices.size(), 5U);
  EXPECT_EQ(devices[1].availability, Availability::prohibited);  // the parent is never leased
  EXPECT_EQ(devices[1].reason.code, "mig_parent");
  EXPECT_FALSE(devices[1].utilization.has_value());
  for (size_t i : {2, 3}) {
    EXPECT_EQ(devices[i].kind, DeviceKind::mig);
    EXPECT_EQ(devices[i].uuid, fmt::format("MIG-{}", i - 2));
    EXPECT_EQ(devices[i].memory_total, 20000000000);
    EXPECT_EQ(devices[i].availability, Availability::free);
    EXPECT_EQ(devices[i].parent_uuid, gpu_uuid(1));
  }
  EXPECT_EQ(short_name(devices, devices[4]), "gpu:4");
}

TEST(Nvml, WhatIsNotSupportedIsAbsent) {
  struct Property {
    const char* name;
    std::vector<const char*> keys;
  };
  const std::vector<Property> properties{
      {"fan_speed", {"fan_speed"}},
      {"utilization", {"utilization", "memory_utilization"}},
      {"memory", {"memory_total", "memory_used", "memory_free", "memory_reserved"}},
      {"temperature", {"temperature"}},
      {"power_draw", {"power_draw"}},
      {"power_limit", {"power_limit"}},
      {"energy", {"energy"}},
      {"clocks", {"clocks"}},
      {"throttle", {"throttle"}},
      {"ecc", {"ecc"}},
      {"processes", {"processes"}},
      {"compute_mode", {"compute_mode"}},
      {"persistence_mode", {"persistence_mode"}}};
  FakeDriver driver;
  Json scenario = machine_of(static_cast<int>(properties.size()));
  for (size_t i = 0; i < properties.size(); ++i) scenario["gpus"][i]["not_supported"] = {properties[i].name};
  driver.load(scenario);
  const auto reader = open_reader();
  read(*reader);
  const auto devices = inventory_of(read(*reader));
  ASSERT_EQ(devices.size(), properties.size());
  for (size_t i = 0; i < properties.size(); ++i) {
    const auto json = to_json(devices[i]);
    for (const Property& property : properties)
      for (const char* key : property.keys)
        EXPECT_EQ(json.contains(key), &property != &properties[i]) << key << " of GPU " << i;
  }
}

TEST(Nvml, OldMemoryCallWhereTheNewOneIsMissing) {
  FakeDriver driver;
  Json scenario = machine_of(1);
  scenario["missing"] = {"nvmlDeviceGetMemoryInfo_v2", "nvmlDeviceGetTemperatureV",
                         "nvmlDeviceGetCurrentClocksEventReasons", "nvmlInitWithFlags"};
  scenario["gpus"][0]["throttle"] = 0x8;
  driver.load(scenario);
  const auto reader = open_reader();
  const Device device = read(*reader).devices.at(0);
  EXPECT_EQ(device.memory_used, 601000000);  // the old call counts what the driver reserves
  EXPECT_FALSE(device.memory_reserved.has_value());
  EXPECT_EQ(device.temperature, 30);
  EXPECT_EQ(device.throttle, std::vector<std::string>{"hw_slowdown"});
}

// Each symbol of the table missing, one at a time, in a process of its own: never a crash, and the GPU is
// there unless it cannot be found without that symbol.
TEST(Nvml, EverySymbolIsOptional) {
  std::vector<std::string> names;
#define SAEMILL_NVML_NAME(member, symbol, arguments) names.emplace_back(#symbol);
  SAEMILL_NVML_SYMBOLS(SAEMILL_NVML_NAME)
#undef SAEMILL_NVML_NAME
  for (const std::string& name : names) {
    const pid_t child = ::fork();
    if (child == 0) {
      FakeDriver driver;
      Json scenario = machine_of(2);
      scenario["missing"] = {name};
      driver.load(scenario);
      const auto reader = open_reader();
      read(*reader);
      const auto devices = inventory_of(read(*reader));
      const bool vital = name == "nvmlDeviceGetCount_v2";
      const bool blind = name == "nvmlDeviceGetHandleByIndex_v2";
      const bool right =
          vital ? devices.empty()
                : devices.size() == 2 && (devices[0].availability == Availability::free) != blind;
      ::_exit(right ? 0 : 1);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    EXPECT_EQ(status, 0) << name;
  }
}

void expect_processes(const char* structure) {
  FakeDriver driver;
  Json scenario = machine_of(1);
  scenario["process_struct"] = structure;
  const std::vector<int64_t> pids{::getpid(), ::getppid(), 1, 4000001};
  for (size_t i = 0; i < pids.size(); ++i)
    scenario["gpus"][0]["processes"].push_back({{"pid", pids[i]},
                                                {"memory_used", i == 2 ? Json() : Json(1000000 * (i + 1))},
                                                {"type", i == 1 ? "graphics" : "compute"}});
  driver.load(scenario);
  const auto reader = open_reader();
  const auto devices = inventory_of(read(*reader));
  ASSERT_TRUE(devices.at(0).processes.has_value());
  const auto& found = *devices[0].processes;
  ASSERT_EQ(found.size(), 4U);
  for (size_t i = 0; i < pids.size(); ++i) {
    const auto at =
        std::find_if(found.begin(), found.end(), [&](const auto& process) { return process.pid == pids[i]; });
    ASSERT_NE(at, found.end()) << pids[i];
    EXPECT_EQ(at->memory_used,
              i == 2 ? std::nullopt : std::optional<int64_t>(1000000 * static_cast<int64_t>(i + 1)));
    EXPECT_EQ(at->type, i == 1 ? "graphics" : "compute");
    EXPECT_EQ(at->user.has_value(), i != 3);  // such a pid there cannot be
  }
  EXPECT_EQ(devices[0].availability, Availability::foreign);
  EXPECT_EQ(devices[0].reason.code, "process");
}

TEST(Nvml, ProcessesOfTheUsualLayout) {
  expect_processes("v3");
}
TEST(Nvml, ProcessesOfThe535Layout) {
  expect_processes("535");
}

TEST(Nvml, StrideIsFoundWhateverTheDriverCleared) {
  for (const size_t stride : {sizeof(nvml::ProcessShort), sizeof(nvml::ProcessLong)}) {
    for (size_t count = 1; count < 20; ++count) {
      for (const bool cleared : {false, true}) {
        std::vector<std::byte> buffer(64 * 32, cleared ? std::byte{0} : nvml::kCanary);
        for (size_t i = 0; i < count; ++i) {
          nvml::ProcessLong entry{static_cast<uint32_t>(1000 + i), 0xA5A5000000ULL + i, nvml::kNoInstance,
                                  nvml::kNoInstance, 0};
          std::memcpy(buffer.data() + i * stride, &entry, stride);
        }
        if (cleared && count == 1) continue;  // one entry reads the same in both
        EXPECT_EQ(nvml::process_stride(buffer, count), stride) << count << cleared;
      }
    }
  }
}

TEST(Nvml, GraphicsAloneMakesNobodyBusy) {
  FakeDriver driver;
  Json scenario = machine_of(2);
  scenario["gpus"][0]["processes"] = {
      {{"pid", ::getpid()}, {"memory_used", 300000000}, {"type", "graphics"}}};
  scenario["gpus"][1]["processes"] = {{{"pid", ::getpid()}, {"memory_used", 1000}, {"type", "mps"}}};
  driver.load(scenario);
  const auto reader = open_reader();
  const auto devices = inventory_of(read(*reader));
  EXPECT_EQ(devices[0].availability, Availability::free);
  EXPECT_EQ(devices[1].availability, Availability::foreign);
}

TEST(Nvml, PermissionModeAndDriverErrors) {
  FakeDriver driver;
  Json scenario = machine_of(3);
  scenario["gpus"][0]["errors"] = {{"nvmlDeviceGetHandleByIndex_v2", 4}};
  scenario["gpus"][1]["compute_mode"] = "prohibited";
  driver.load(scenario);
  const auto reader = open_reader();
  auto devices = inventory_of(read(*reader));
  ASSERT_EQ(devices.size(), 3U);
  EXPECT_EQ(devices[0].availability, Availability::unknown);
  EXPECT_EQ(devices[0].reason.code, "no_permission");
  EXPECT_EQ(devices[1].availability, Availability::prohibited);
  EXPECT_EQ(devices[2].availability, Availability::free);
  scenario["errors"] = {{"nvmlDeviceGetCount_v2", 1}, {"nvmlInitWithFlags", 18}};
  driver.write(scenario);
  const auto failing = reader->read(monotonic_seconds() + 120, epoch_seconds());
  EXPECT_NE(failing.result, nvml::kSuccess);
  EXPECT_TRUE(failing.devices.empty());
  scenario.erase("errors");
  scenario["gpus"][0].erase("errors");
  driver.write(scenario);
  devices = inventory_of(reader->read(monotonic_seconds() + 240, epoch_seconds()));
  ASSERT_EQ(devices.size(), 3U);
  EXPECT_EQ(devices[0].availability, Availability::free);
}

TEST(Nvml, XidEccAndTheirEnd) {
  FakeDriver driver;
  Json scenario = machine_of(4);
  scenario["events"] = {{{"at_s", 0}, {"gpu", 0}, {"xid", 79}},
                        {{"at_s", 0}, {"gpu", 1}, {"xid", 31}},
                        {{"at_s", 0}, {"gpu", 2}, {"dbe", 1}}};
  driver.load(scenario);
  const auto reader = open_reader();
  auto reading = read(*reader);
  if (reading.events.size() < 3) {
    const auto more = read(*reader);
    reading.events.insert(reading.events.end(), more.events.begin(), more.events.end());
    reading.devices = more.devices;
  }
  EXPECT_EQ(reading.events.size(), 3U);
  auto devices = inventory_of(reading);
  EXPECT_EQ(devices[0].availability, Availability::unhealthy);
  EXPECT_EQ(devices[0].reason.code, "xid");
  EXPECT_EQ(devices[0].last_xid, 79);
  EXPECT_EQ(devices[1].availability, Availability::free);  // an application's fault
  EXPECT_EQ(devices[1].last_xid, 31);
  EXPECT_EQ(devices[2].reason.code, "ecc");
  EXPECT_EQ(devices[3].availability, Availability::free);
  // The driver is loaded again: its counters and what it reported begin anew.
  scenario["errors"] = {{"nvmlDeviceGetCount_v2", 1}, {"nvmlInitWithFlags", 9}};
  driver.write(scenario);
  reader->read(monotonic_seconds() + 120, epoch_seconds());
  scenario.erase("errors");
  driver.write(scenario);
  devices = inventory_of(reader->read(monotonic_seconds() + 240, epoch_seconds()));
  EXPECT_EQ(devices.at(0).availability, Availability::free);
}

TEST(Nvml, LostAndFoundAgain) {
  FakeDriver driver;
  Json scenario = machine_of(3);
  scenario["events"] = {{{"at_s", 0.2}, {"gpu", 1}, {"lost", true}},
                        {{"at_s", 0.6}, {"gpu", 1}, {"recovered", true}}};
  driver.load(scenario);
  const auto reader = open_reader();
  EXPECT_EQ(inventory_of(read(*reader))[1].availability, Availability::free);
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  auto devices = inventory_of(read(*reader));
  ASSERT_EQ(devices.size(), 3U);
  EXPECT_EQ(devices[1].uuid, gpu_uuid(1));
  EXPECT_EQ(devices[1].availability, Availability::lost);
  EXPECT_FALSE(devices[1].utilization.has_value());  // the last value would look alive
  // Looked for again while it is lost, its name is still known.
  devices = inventory_of(reader->read(monotonic_seconds() + 6, epoch_seconds()));
  EXPECT_EQ(devices[1].uuid, gpu_uuid(1));
  EXPECT_EQ(devices[1].availability, Availability::lost);
  std::this_thread::sleep_for(std::chrono::milliseconds(400));
  devices = inventory_of(reader->read(monotonic_seconds() + 12, epoch_seconds()));
  EXPECT_EQ(devices[1].availability, Availability::free);
}

TEST(Nvml, DevicesComeAndGo) {
  FakeDriver driver;
  Json scenario = machine_of(3);
  scenario["events"] = {{{"at_s", 0.3}, {"gpu", 2}, {"added", true}},
                        {{"at_s", 0.6}, {"gpu", 0}, {"removed", true}}};
  driver.load(scenario);
  const auto reader = open_reader();
  EXPECT_EQ(read(*reader).devices.size(), 2U);
  std::this_thread::sleep_for(std::chrono::milliseconds(350));
  EXPECT_EQ(read(*reader).devices.size(), 3U);
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  const auto devices = read(*reader).devices;
  ASSERT_EQ(devices.size(), 2U);
  EXPECT_EQ(devices[0].uuid, gpu_uuid(1));
}

TEST(Nvml, TopologyByNvlinkSwitchAndNode) {
  FakeDriver driver;
  Json scenario = machine_of(6);
  scenario["gpus"][0]["nvlink_links"] = {{{"to", 1}}, {{"to", 1}}};
  scenario["gpus"][1]["nvlink_links"] = {{{"to", 0}}, {{"to", 0}}};
  for (int i : {2, 3}) {
    scenario["gpus"][i]["nvlink_links"] = Json::array();
    for (int link = 0; link < 18; ++link) scenario["gpus"][i]["nvlink_links"].push_back({{"to", "switch"}});
  }
  scenario["gpus"][4]["pcie_switch"] = scenario["gpus"][5]["pcie_switch"] = 7;
  driver.load(scenario);
  const auto reader = open_reader();
  const auto topology = read(*reader).topology;
  const auto link = [&](int a, int b) { return topology.between(gpu_uuid(a), gpu_uuid(b)); };
  EXPECT_EQ(link(0, 1).nvlinks, 2);
  EXPECT_EQ(link(1, 0).nvlinks, 2);
  EXPECT_EQ(link(2, 3).nvlinks, 18);
  EXPECT_EQ(link(0, 2).nvlinks, 0);
  EXPECT_EQ(link(0, 2).level, 30);
  EXPECT_EQ(link(0, 4).level, 50);  // another NUMA node
  EXPECT_EQ(link(4, 5).level, 10);
}

}  // namespace
}  // namespace saemill
