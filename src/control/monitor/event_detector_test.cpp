#include "control/monitor/event_detector.h"

#include <gtest/gtest.h>

#include <limits>

namespace saemill {
namespace {

using Kind = DeviceChange::Kind;
constexpr double kStart = 1800000000;

Device device_of(int index, DeviceKind kind = DeviceKind::gpu) {
  Device device;
  device.index = index;
  device.kind = kind;
  device.uuid = fmt::format("{}-{}", kind == DeviceKind::cpu ? "CPU" : "GPU", index);
  device.name = kind == DeviceKind::cpu ? "CPU slot" : "NVIDIA H200";
  device.availability = Availability::free;
  return device;
}

// The snapshot that a test changes, and the detector that is shown it second after second.
class EventDetectorTest : public ::testing::Test {
 protected:
  EventDetectorTest() {
    snapshot_.epoch = kStart;
    snapshot_.driver.state = "answering";
    snapshot_.devices = {device_of(0), device_of(1)};
    snapshot_.host.disk_path = "/data";
  }
  Happened next(double seconds = 1) {
    snapshot_.epoch += seconds;
    return detector_.next(snapshot_);
  }
  // "code/severity[/over]" of each event.
  static std::vector<std::string> words(const std::vector<MachineEvent>& events) {
    std::vector<std::string> found;
    for (const MachineEvent& event : events)
      found.push_back(
          fmt::format("{}/{}{}", event.code, to_string(event.severity), event.over ? "/over" : ""));
    return found;
  }
  std::vector<std::string> events(double seconds = 1) { return words(next(seconds).events); }
  // For `seconds` of one snapshot each.
  std::vector<std::string> events_in(int seconds) {
    std::vector<std::string> all;
    for (int i = 0; i < seconds; ++i) {
      for (const std::string& word : events()) all.push_back(word);
    }
    return all;
  }
  std::vector<std::string> at_degrees(std::optional<double> degrees) {
    gpu().temperature = degrees;
    return events();
  }
  std::vector<std::string> at_free(std::optional<int64_t> free) {
    snapshot_.host.disk_free = free;
    return events();
  }
  Device& gpu(size_t i = 0) { return snapshot_.devices.at(i); }
  void set_state(Availability availability, const std::string& message = "why") {
    gpu().availability = availability;
    gpu().reason = {"code", message};
  }

  EventDetector detector_{"here"};
  Snapshot snapshot_;
};

using Words = std::vector<std::string>;

TEST_F(EventDetectorTest, TheFirstSnapshotTellsOnlyWhatIsOn) {
  snapshot_.host.disk_total = 1000;
  snapshot_.host.disk_free = 40;
  gpu().temperature = 86;
  gpu(1).availability = Availability::unhealthy;
  gpu(1).reason = {"xid", "XID 79"};
  const Happened first = next();
  EXPECT_TRUE(first.changes.empty());
  EXPECT_EQ(words(first.events), (Words{"hot/warning", "gpu_state/error", "low_disk/warning"}));
  EXPECT_EQ(first.events[0].time, kStart + 1);
  EXPECT_EQ(first.events[0].host, "here");
  EXPECT_EQ(first.events[0].device_uuid, "GPU-0");
  EXPECT_EQ(first.events[0].message, "gpu:0 (NVIDIA H200) is at 86 \u00b0C; hot from 85 \u00b0C on");
  EXPECT_EQ(first.events[1].message, "gpu:1 (NVIDIA H200) is unhealthy: XID 79");
  EXPECT_EQ(first.events[2].device_uuid, "");
  EXPECT_EQ(first.events[2].message, "/data has 0.0 GB of 0.0 GB free, 4.0 % (low from 5 %)");
  EXPECT_EQ(events_in(100), Words{});
}

TEST_F(EventDetectorTest, DevicesComeAndGo) {
  next();
  gpu().temperature = 90;
  EXPECT_EQ(events(), Words{"hot/warning"});
  const Device first = gpu();
  snapshot_.devices = {device_of(1), device_of(2)};
  for (int i = 0; i < 2; ++i) snapshot_.devices[static_cast<size_t>(i)].index = i;
  const Happened happened = next();
  EXPECT_EQ(words(happened.events), (Words{"gpu_removed/warning", "gpu_added/info"}));
  EXPECT_EQ(happened.events[0].message, "gpu:0 (NVIDIA H200) is no longer there");
  EXPECT_EQ(happened.events[0].device_uuid, "GPU-0");
  EXPECT_EQ(happened.events[1].message, "gpu:1 (NVIDIA H200) was added");
  ASSERT_EQ(happened.changes.size(), 2u);
  EXPECT_EQ(happened.changes[0].kind, Kind::removed);
  EXPECT_EQ(happened.changes[0].data.dump(), R"({"uuid":"GPU-0","index":0})");
  EXPECT_EQ(happened.changes[1].kind, Kind::added);
  EXPECT_EQ(happened.changes[1].uuid, "GPU-2");
  EXPECT_EQ(happened.changes[1].data["index"], 1);
  EXPECT_EQ(happened.changes[1].data["availability"], "free");
  // It comes back, as hot as it went.
  snapshot_.devices.push_back(first);
  EXPECT_EQ(events(), (Words{"gpu_added/info", "hot/warning"}));
}

TEST_F(EventDetectorTest, ANewDeviceThatIsBrokenTellsSo) {
  next();
  snapshot_.devices.push_back(device_of(2));
  snapshot_.devices.back().availability = Availability::lost;
  const Happened happened = next();
  EXPECT_EQ(words(happened.events), (Words{"gpu_added/info", "gpu_state/error"}));
  EXPECT_EQ(happened.changes.size(), 1u);
}

TEST_F(EventDetectorTest, SlotsAreToldOnlyWhenTheirNumberChanges) {
  snapshot_.devices = {device_of(0, DeviceKind::cpu), device_of(1, DeviceKind::cpu)};
  EXPECT_TRUE(next().changes.empty());
  snapshot_.devices[1].uuid = "CPU-renamed";
  Happened happened = next();
  EXPECT_EQ(words(happened.events), Words{});
  EXPECT_EQ(happened.changes.size(), 2u);
  snapshot_.devices.push_back(device_of(2, DeviceKind::cpu));
  happened = next();
  EXPECT_EQ(words(happened.events), Words{"gpu_added/info"});
  EXPECT_EQ(happened.events[0].message, "cpu:2 (CPU slot) was added");
  snapshot_.devices.clear();
  EXPECT_EQ(events(), (Words{"gpu_removed/info", "gpu_removed/info", "gpu_removed/info"}));
}

// The server starts faster than the driver; a running job's lease is all that is known of its GPU.
TEST_F(EventDetectorTest, ADriverThatStartsRemovesAndAddsNothing) {
  const auto devices = snapshot_.devices;
  snapshot_.driver.state = "starting";
  snapshot_.devices = {device_of(0)};
  gpu().lost = Reason{"not_shown", "the driver does not show this device any more"};
  set_state(Availability::lost);
  Happened happened = next();
  EXPECT_TRUE(happened.events.empty());
  EXPECT_TRUE(happened.changes.empty());
  snapshot_.devices = {device_of(0, DeviceKind::cpu)};
  snapshot_.driver.state = "hanging";
  EXPECT_EQ(events(), Words{"stale/warning"});
  snapshot_.driver.state = "answering";
  snapshot_.devices = devices;
  snapshot_.devices.push_back(device_of(2, DeviceKind::cpu));
  snapshot_.devices.back().uuid = "CPU-0";
  happened = next();
  EXPECT_EQ(words(happened.events), Words{"stale/info/over"});
  EXPECT_TRUE(happened.changes.empty());
  snapshot_.devices.erase(snapshot_.devices.begin());
  EXPECT_EQ(events(), Words{"gpu_removed/warning"});
  // A driver that is heard and shows nothing has lost them all.
  snapshot_.devices.clear();
  snapshot_.driver.state = "failing";
  EXPECT_EQ(events(), (Words{"gpu_removed/warning", "gpu_removed/info"}));
}

TEST_F(EventDetectorTest, StatesThatMatterAreStored) {
  next();
  set_state(Availability::leased);
  gpu().current_job = "t1";
  gpu().current_job_type = "training";
  Happened happened = next();
  EXPECT_TRUE(happened.events.empty());
  ASSERT_EQ(happened.changes.size(), 1u);
  EXPECT_EQ(happened.changes[0].kind, Kind::state);
  EXPECT_EQ(happened.changes[0].data["availability"], "leased");
  set_state(Availability::unhealthy, "XID 79");
  happened = next();
  EXPECT_EQ(words(happened.events), Words{"gpu_state/error"});
  EXPECT_EQ(happened.events[0].training_id, "t1");
  EXPECT_EQ(happened.events[0].message, "gpu:0 (NVIDIA H200) is unhealthy: XID 79");
  EXPECT_EQ(happened.changes.size(), 1u);
  EXPECT_EQ(events_in(10), Words{});
  set_state(Availability::lost);
  EXPECT_EQ(events(), Words{"gpu_state/error"});
  set_state(Availability::unknown);
  EXPECT_EQ(events(), Words{"gpu_state/warning"});
  set_state(Availability::prohibited);
  happened = next();
  EXPECT_EQ(words(happened.events), Words{"gpu_state/info/over"});
  EXPECT_EQ(happened.events[0].message, "gpu:0 (NVIDIA H200) is prohibited, no longer unknown");
  for (const Availability state : {Availability::foreign, Availability::free, Availability::leased}) {
    set_state(state);
    happened = next();
    EXPECT_TRUE(happened.events.empty());
    EXPECT_EQ(happened.changes.size(), 1u);
  }
}

TEST_F(EventDetectorTest, ALostDeviceKeepsTheNameItHad) {
  next();
  Device gone = device_of(1);
  gone.uuid = "GPU-0";
  gone.name = "GPU";
  gone.lost = Reason{"not_shown", "gone"};
  gone.availability = Availability::lost;
  gone.reason = {"not_shown", "gone"};
  snapshot_.devices = {device_of(1), gone};
  snapshot_.devices[0].index = 0;
  const Happened happened = next();
  EXPECT_EQ(words(happened.events), Words{"gpu_state/error"});
  EXPECT_EQ(happened.events[0].message, "gpu:0 (NVIDIA H200) is lost: gone");
}

TEST_F(EventDetectorTest, XidsAreToldEachOnce) {
  gpu(1).current_job = "t1";
  gpu(1).current_job_type = "training";
  snapshot_.events = {{.uuid = "GPU-0", .xid = 79},
                      {.uuid = "GPU-1", .xid = 31},
                      {.uuid = "GPU-1", .xid = 31},
                      {.uuid = "GPU-1", .mig_config = true},
                      {.uuid = "GPU-9", .xid = 48, .double_bit_ecc = false}};
  set_state(Availability::unhealthy);
  const Happened happened = next();
  EXPECT_EQ(words(happened.events), (Words{"xid/error", "xid/info", "xid/error", "gpu_state/error"}));
  EXPECT_EQ(happened.events[0].message, "gpu:0 (NVIDIA H200): XID 79");
  EXPECT_EQ(happened.events[0].training_id, "");
  EXPECT_EQ(happened.events[1].message,
            "gpu:1 (NVIDIA H200): XID 31, 2 times, a fault of the program that ran on it");
  EXPECT_EQ(happened.events[1].training_id, "t1");
  EXPECT_EQ(happened.events[2].message, "GPU-9: XID 48");
  EXPECT_EQ(happened.events[2].device_uuid, "GPU-9");
  ASSERT_EQ(happened.changes.size(), 3u);
  EXPECT_EQ(happened.changes[0].kind, Kind::xid);
  EXPECT_EQ(happened.changes[0].data.dump(), R"({"uuid":"GPU-0","index":0,"xid":79,"application":false})");
  EXPECT_EQ(happened.changes[1].data["application"], true);
  EXPECT_FALSE(happened.changes[2].data.contains("index"));
  snapshot_.events.clear();
  EXPECT_EQ(events(), Words{});
  snapshot_.events = {{.uuid = "GPU-1", .xid = 31}};  // another one, not the same condition
  EXPECT_EQ(events(), Words{"xid/info"});
}

TEST_F(EventDetectorTest, HeatIsToldOncePerCrossing) {
  EXPECT_EQ(at_degrees(84.9), Words{});
  EXPECT_EQ(at_degrees(85), Words{"hot/warning"});
  for (const double hover : {84., 86., 80., 91.9, 85.}) EXPECT_EQ(at_degrees(hover), Words{}) << hover;
  EXPECT_EQ(at_degrees(92), Words{"hot/error"});
  for (const double hover : {88., 93., 90., 92.}) EXPECT_EQ(at_degrees(hover), Words{}) << hover;
  EXPECT_EQ(at_degrees(87.9), Words{});
  EXPECT_EQ(at_degrees(92), Words{"hot/error"});
  EXPECT_EQ(at_degrees(std::nullopt), Words{});
  EXPECT_EQ(at_degrees(std::numeric_limits<double>::quiet_NaN()), Words{});
  EXPECT_EQ(at_degrees(80), Words{});
  gpu().temperature = 79;
  const Happened happened = next();
  EXPECT_EQ(words(happened.events), Words{"hot/info/over"});
  EXPECT_EQ(happened.events[0].message, "gpu:0 (NVIDIA H200) has cooled to 79 \u00b0C, below 80 \u00b0C");
  EXPECT_EQ(at_degrees(84), Words{});
  EXPECT_EQ(at_degrees(std::nullopt), Words{});
  EXPECT_EQ(at_degrees(99), Words{"hot/error"});  // past both limits at once: the worse one
  EXPECT_EQ(at_degrees(20), Words{"hot/info/over"});
}

TEST_F(EventDetectorTest, DevicesAreHotApart) {
  gpu().temperature = gpu(1).temperature = 90;
  EXPECT_EQ(events(), (Words{"hot/warning", "hot/warning"}));
  gpu().temperature = 50;
  EXPECT_EQ(events(), Words{"hot/info/over"});
  gpu(1).temperature = 50;
  const Happened happened = next();
  ASSERT_EQ(happened.events.size(), 1u);
  EXPECT_EQ(happened.events[0].device_uuid, "GPU-1");
}

TEST_F(EventDetectorTest, ThrottlingIsToldWhenItLasts) {
  gpu().throttle = {"sw_power_cap", "sync_boost"};
  EXPECT_EQ(events_in(60), Words{});
  gpu().throttle = {"hw_thermal", "sw_power_cap", "power_brake"};
  EXPECT_EQ(events_in(10), Words{});  // from the first to the tenth: 9 s
  Happened happened = next();
  EXPECT_EQ(words(happened.events), Words{"throttled/warning"});
  EXPECT_EQ(happened.events[0].message,
            "gpu:0 (NVIDIA H200) has been throttled for 10 s (limit 10 s): hw_thermal, power_brake");
  // Short breaks end nothing.
  for (int i = 0; i < 4; ++i) {
    gpu().throttle = {"sw_power_cap"};
    EXPECT_EQ(events_in(30), Words{});
    gpu().throttle = {"hw_slowdown"};
    EXPECT_EQ(events_in(1), Words{});
  }
  gpu().throttle.emplace();
  EXPECT_EQ(events_in(30), Words{});
  happened = next();
  EXPECT_EQ(words(happened.events), Words{"throttled/info/over"});
  EXPECT_EQ(happened.events[0].message, "gpu:0 (NVIDIA H200) has not been throttled for 30 s (limit 30 s)");
  // Breaks start the time again.
  for (int i = 0; i < 4; ++i) {
    gpu().throttle = {"sw_thermal"};
    EXPECT_EQ(events_in(10), Words{});
    gpu().throttle.emplace();
    EXPECT_EQ(events_in(1), Words{});
  }
}

TEST_F(EventDetectorTest, WhatIsNotReadDoesNotCountAsThrottled) {
  gpu().throttle = {"sw_thermal"};
  EXPECT_EQ(events_in(6), Words{});  // 5 s
  gpu().throttle.reset();
  EXPECT_EQ(events_in(100), Words{});
  gpu().throttle = {"sw_thermal"};
  EXPECT_EQ(events_in(5), Words{});  // 4 s more
  snapshot_.epoch -= 3600;           // the clock is set back
  EXPECT_EQ(events_in(1), Words{});
  EXPECT_EQ(events_in(1), Words{"throttled/warning"});
  gpu().throttle.reset();
  EXPECT_EQ(events_in(100), Words{});
  // An old reading again and again is no reading, of any value.
  gpu().throttle.emplace();
  gpu().temperature = 99;
  gpu().age_ms = 5001;
  EXPECT_EQ(events_in(100), Words{"stale/warning"});
  gpu().age_ms = 0;
  EXPECT_EQ(events_in(31), (Words{"hot/error", "stale/info/over", "throttled/info/over"}));
}

TEST_F(EventDetectorTest, ADiskRunsLow) {
  snapshot_.host.disk_total = 1000;
  EXPECT_EQ(at_free(51), Words{});
  EXPECT_EQ(at_free(50), Words{"low_disk/warning"});
  for (const int64_t hover : {49, 60, 80, 11, 50}) EXPECT_EQ(at_free(hover), Words{}) << hover;
  EXPECT_EQ(at_free(10), Words{"low_disk/error"});
  for (const int64_t hover : {15, 20, 5}) EXPECT_EQ(at_free(hover), Words{}) << hover;
  EXPECT_EQ(at_free(std::nullopt), Words{});
  EXPECT_EQ(at_free(21), Words{});
  EXPECT_EQ(at_free(0), Words{"low_disk/error"});
  EXPECT_EQ(at_free(81), Words{"low_disk/info/over"});
  snapshot_.host.disk_total = 0;
  EXPECT_EQ(at_free(0), Words{});
  snapshot_.host.disk_total = 2'000'000'000'000;
  snapshot_.host.disk_free = 2'000'000'000;
  const Happened happened = next();
  EXPECT_EQ(words(happened.events), Words{"low_disk/error"});
  EXPECT_EQ(happened.events[0].message, "/data has 2.0 GB of 2000.0 GB free, 0.1 % (critical from 1 %)");
}

TEST_F(EventDetectorTest, ADriverThatHangsIsToldOnce) {
  EXPECT_EQ(events(), Words{});
  snapshot_.driver.state = "hanging";
  snapshot_.driver.message = "the driver has not answered nvmlInit for 2 s";
  gpu().age_ms = gpu(1).age_ms = 2500;
  Happened happened = next();
  EXPECT_EQ(words(happened.events), Words{"stale/warning"});
  EXPECT_EQ(
      happened.events[0].message,
      "the driver hangs: the driver has not answered nvmlInit for 2 s; the readings of the GPUs are 2.5 s"
      " old (limit 5 s)");
  EXPECT_EQ(happened.events[0].device_uuid, "");
  gpu().age_ms = gpu(1).age_ms = 9000;
  EXPECT_EQ(events_in(5), Words{});
  snapshot_.driver.state = "answering";
  EXPECT_EQ(events_in(5), Words{});  // the readings are still old
  gpu().age_ms = gpu(1).age_ms = 100;
  EXPECT_EQ(events_in(5), Words{"stale/info/over"});
  gpu(1).age_ms = 5000;
  EXPECT_EQ(events_in(2), Words{});
  gpu(1).age_ms = 5100;
  EXPECT_EQ(events_in(2), Words{"stale/warning"});
}

TEST_F(EventDetectorTest, AStoreThatIsAwayIsToldOnce) {
  snapshot_.store_problem = "connection refused";
  EXPECT_EQ(events_in(5), Words{});
  snapshot_.store_problem.clear();
  EXPECT_EQ(events_in(1), Words{});
  snapshot_.store_problem = "connection refused";
  EXPECT_EQ(events_in(5), Words{});
  const Happened happened = next();
  EXPECT_EQ(words(happened.events), Words{"store_away/warning"});
  EXPECT_EQ(happened.events[0].message, "the store has not answered for 5 s (limit 5 s): connection refused");
  EXPECT_EQ(events_in(50), Words{});
  snapshot_.store_problem.clear();
  EXPECT_EQ(events_in(5), Words{"store_away/info/over"});
}

TEST(EventThresholdsTest, AreTheCallers) {
  EventDetector detector("here", {.hot = 60, .hot_off = 50, .throttled_for = 0});
  Snapshot snapshot;
  snapshot.devices = {device_of(0)};
  snapshot.devices[0].temperature = 60;
  snapshot.devices[0].throttle = {"hw_thermal"};
  const auto events = detector.next(snapshot).events;
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0].code, "hot");
  EXPECT_EQ(events[1].code, "throttled");
}

}  // namespace
}  // namespace saemill
