#include "control/api/prometheus.h"

#include <map>
#include <regex>
#include <set>
#include <sstream>

#include "control/api/prometheus_text.h"
#include "control/api/services_fixture.h"

namespace saemill::api {
namespace {

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

// One GPU, one CPU slot.
std::shared_ptr<Snapshot> small_snapshot() {
  auto snapshot = std::make_shared<Snapshot>();
  Device gpu = bare_device(DeviceKind::gpu, "GPU-0", Availability::leased, "leased");
  gpu.name = "NVIDIA \"H200\"", gpu.pci_bus_id = "00000000:0F:00.0";
  gpu.memory_total = int64_t{143771} << 20, gpu.memory_used = int64_t{3} << 19;
  gpu.utilization = 37.5, gpu.energy = 1.25, gpu.current_job = "t1", gpu.current_job_type = "training";
  snapshot->devices = {gpu, cpu_slot(0)};
  take_places(*snapshot);
  snapshot->host = full_host();
  snapshot->driver = {"answering", "", "570.86.15", "", ""};
  snapshot->epoch = 1800000000.5;
  return snapshot;
}

const char* const kDevices =
    R"(# HELP DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION Energy used since the driver was loaded, in mJ.
# TYPE DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION counter
DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION{LABELS} 1250
# HELP DCGM_FI_DEV_GPU_UTIL Share of time in which any kernel ran, in percent.
# TYPE DCGM_FI_DEV_GPU_UTIL gauge
DCGM_FI_DEV_GPU_UTIL{LABELS} 37.5
# HELP DCGM_FI_DEV_FB_TOTAL Memory of the device, in MiB.
# TYPE DCGM_FI_DEV_FB_TOTAL gauge
DCGM_FI_DEV_FB_TOTAL{LABELS} 143771
# HELP DCGM_FI_DEV_FB_USED Memory that is used, in MiB.
# TYPE DCGM_FI_DEV_FB_USED gauge
DCGM_FI_DEV_FB_USED{LABELS} 1.5
# HELP saemill_cpu_slot_memory_bytes The slot's share of the machine's memory.
# TYPE saemill_cpu_slot_memory_bytes gauge
saemill_cpu_slot_memory_bytes{device="cpu:0",UUID="CPU-here-0",hostname="here"} 8589934592
# HELP saemill_cpu_slot_memory_used_bytes Memory that the slot's rank holds.
# TYPE saemill_cpu_slot_memory_used_bytes gauge
saemill_cpu_slot_memory_used_bytes{device="cpu:0",UUID="CPU-here-0",hostname="here"} 0
# HELP saemill_cpu_slot_memory_free_bytes Memory that the slot can still give.
# TYPE saemill_cpu_slot_memory_free_bytes gauge
saemill_cpu_slot_memory_free_bytes{device="cpu:0",UUID="CPU-here-0",hostname="here"} 8589934592
# HELP saemill_device_state 1 for what may be done with the device now.
# TYPE saemill_device_state gauge
saemill_device_state{UUID="GPU-0",state="leased"} 1
saemill_device_state{UUID="CPU-here-0",state="free"} 1
# HELP saemill_device_job_info 1 for the job that holds the device.
# TYPE saemill_device_job_info gauge
saemill_device_job_info{UUID="GPU-0",job_id="t1",job_type="training"} 1
)";

const char* const kLabels =
    R"({gpu="0",UUID="GPU-0",pci_bus_id="00000000:0F:00.0",device="nvidia0",modelName="NVIDIA \"H200\"",)"
    R"(hostname="here",DCGM_FI_DRIVER_VERSION="570.86.15"})";

const char* const kHost = R"(saemill_device_reading_age_seconds{UUID="GPU-0"} 0
saemill_device_reading_age_seconds{UUID="CPU-here-0"} 0
saemill_host_cpu_cores{hostname="here"} 4
saemill_host_cpu_utilization_ratio{hostname="here"} 0.25
saemill_host_load1{hostname="here"} 0.5
saemill_host_memory_bytes{hostname="here"} 17179869184
saemill_host_memory_available_bytes{hostname="here"} 12884901888
saemill_host_swap_bytes{hostname="here"} 1024
saemill_host_swap_used_bytes{hostname="here"} 256
saemill_host_network_transmit_bytes_per_second{hostname="here"} 10
saemill_host_network_receive_bytes_per_second{hostname="here"} 20
saemill_host_disk_bytes{hostname="here"} 1000
saemill_host_disk_free_bytes{hostname="here"} 400
saemill_driver_state{state="answering"} 1
saemill_snapshot_timestamp_seconds 1800000000.5
)";

const char* const kServer = R"(saemill_sampler_samples_total 10
saemill_sampler_mean_seconds 0.0015
saemill_sampler_max_seconds 0.02
saemill_sampler_cpu_ratio 0.0025
saemill_history_waiting 3
saemill_history_dropped_total 1
saemill_events_waiting 2
saemill_events_dropped_total 0
saemill_database_up 1
saemill_trainings_queued 3
saemill_trainings_active 2
saemill_http_requests_total 100
saemill_http_refused_total 7
saemill_connections 5
saemill_websockets 2
saemill_build_info{version="0.1.0"} 1
saemill_start_time_seconds 1800000000
)";

std::string without_comments(const std::string& text) {
  std::string rest;
  for (const std::string& line : lines_of(text))
    if (!line.starts_with('#')) rest += line + "\n";
  return rest;
}

class PrometheusTest : public ServicesTest {};

TEST_F(PrometheusTest, GoldenText) {
  snapshot_ = small_snapshot();
  const std::string text = prometheus_text(services_);
  std::string devices = kDevices;
  for (size_t at = 0; (at = devices.find("{LABELS}")) != std::string::npos;) devices.replace(at, 8, kLabels);
  EXPECT_EQ(text.substr(0, devices.size()), devices);
  ASSERT_GT(text.size(), devices.size());
  EXPECT_EQ(without_comments(text.substr(devices.size())), std::string(kHost) + kServer);
}

TEST_F(PrometheusTest, BeforeTheFirstSampleOnlyTheServerTells) {
  snapshot_ = nullptr;
  EXPECT_EQ(without_comments(prometheus_text(services_)), kServer);
}

// As a scraper reads it: families together, each with its own HELP and TYPE before it, no series twice.
void check_format(const std::string& text) {
  const std::regex sample(
      R"re(([a-zA-Z_][a-zA-Z0-9_]*)(\{([a-zA-Z_][a-zA-Z0-9_]*="([^"\\\n]|\\[\\"n])*",?)*\})? (-?[0-9]+(\.[0-9]+)?(e[-+]?[0-9]+)?))re");
  std::set<std::string> families, series;
  std::string family;
  bool typed = false;
  for (const std::string& line : lines_of(text)) {
    std::istringstream words(line);
    std::string hash, keyword, name, type;
    words >> hash >> keyword >> name >> type;
    if (keyword == "HELP") {
      EXPECT_TRUE(families.insert(name).second) << name << " comes twice";
      EXPECT_FALSE(type.empty()) << line;
      family = name, typed = false;
    } else if (keyword == "TYPE") {
      EXPECT_EQ(name, family);
      EXPECT_TRUE(type == "gauge" || type == "counter") << line;
      // DCGM's own names break the rule that counters, and they alone, end with _total.
      if (name.starts_with("saemill_")) {
        EXPECT_EQ(type == "counter", name.ends_with("_total")) << line;
      }
      typed = true;
    } else {
      std::smatch found;
      ASSERT_TRUE(std::regex_match(line, found, sample)) << line;
      EXPECT_EQ(found[1], family);
      EXPECT_TRUE(typed) << line;
      EXPECT_TRUE(series.insert(found[1].str() + found[2].str()).second) << line;
    }
  }
  EXPECT_TRUE(text.ends_with('\n'));
}

TEST_F(PrometheusTest, EveryLineParses) {
  for (const std::shared_ptr<const Snapshot>& snapshot :
       {std::shared_ptr<const Snapshot>(rich_snapshot()), std::shared_ptr<const Snapshot>(poor_snapshot()),
        std::shared_ptr<const Snapshot>(), std::make_shared<const Snapshot>()}) {
    snapshot_ = snapshot;
    check_format(prometheus_text(services_));
  }
}

TEST_F(PrometheusTest, WhatIsNotKnownIsAbsent) {
  auto snapshot = rich_snapshot();
  const std::string full = prometheus_text(services_);
  EXPECT_NE(full.find("DCGM_FI_DEV_GPU_TEMP{gpu=\"0\",UUID=\"GPU-00000000\""), std::string::npos);
  Device& device = snapshot->devices[0];
  device.temperature = std::nan(""), device.power_draw = HUGE_VAL, device.utilization.reset();
  snapshot->host.load = -HUGE_VAL;
  snapshot_ = snapshot;
  const std::string text = prometheus_text(services_);
  check_format(text);
  for (const char* name : {"GPU_TEMP", "POWER_USAGE", "GPU_UTIL"})
    EXPECT_EQ(text.find(fmt::format("DCGM_FI_DEV_{}{{gpu=\"0\",", name)), std::string::npos) << name;
  EXPECT_EQ(text.find("saemill_host_load1"), std::string::npos);
  // Lost, unreadable and no longer read: their state is all that is known.
  device.age_ms = 60e3;
  const std::string stale = prometheus_text(services_);
  for (const char* uuid : {"GPU-00000000", "GPU-66666666", "unreadable-7"}) {
    EXPECT_EQ(stale.find(fmt::format("UUID=\"{}\",pci", uuid)), std::string::npos) << uuid;
    EXPECT_NE(stale.find(fmt::format("saemill_device_state{{UUID=\"{}\"", uuid)), std::string::npos) << uuid;
  }
  EXPECT_NE(stale.find("saemill_device_reading_age_seconds{UUID=\"GPU-00000000\"} 60\n"), std::string::npos);
}

TEST_F(PrometheusTest, AMigInstanceCarriesItsGpusNumber) {
  auto snapshot = rich_snapshot();
  snapshot->devices[4].memory_total = 100 << 20;  // the divided GPU: its instances count
  snapshot->devices[5].memory_total = 50 << 20;
  snapshot_ = snapshot;
  const std::string text = prometheus_text(services_);
  EXPECT_NE(
      text.find(
          R"(DCGM_FI_DEV_FB_TOTAL{gpu="4",UUID="MIG-44444444",device="nvidia4",modelName="NVIDIA H200",)"
          R"(GPU_I_PROFILE="1g.18gb",hostname="here",DCGM_FI_DRIVER_VERSION="570.86.15"} 50)"),
      std::string::npos)
      << text;
  EXPECT_EQ(text.find("DCGM_FI_DEV_FB_TOTAL{gpu=\"4\",UUID=\"GPU-44444444\""), std::string::npos);
  // The GPU after it: instances have no number of their own.
  EXPECT_NE(text.find("gpu=\"7\",UUID=\"GPU-99999999\""), std::string::npos);
}

TEST_F(PrometheusTest, TheDatabaseIsDownWhereAnybodyCouldNotWrite) {
  const auto up = [&] {
    return prometheus_text(services_).find("\nsaemill_database_up 1\n") != std::string::npos;
  };
  EXPECT_TRUE(up());
  services_.recorder = [] { return Recorder::Status{0, 0, "away"}; };
  EXPECT_FALSE(up());
  services_.recorder = [] { return Recorder::Status(); };
  snapshot_ = poor_snapshot();
  EXPECT_FALSE(up());
}

TEST(PrometheusText, LabelsAreEscaped) {
  EXPECT_EQ(escape_label("a\\b\"c\nd"), "a\\\\b\\\"c\\nd");
  EXPECT_EQ(escape_label("\xc2\xb5m"), "\xc2\xb5m");
  EXPECT_EQ(escape_label("\xff\x01"), "\xef\xbf\xbd ");
  PrometheusText text;
  text.family("x", "gauge", "Some x.");
  text.sample({{"empty", ""}}, int64_t{7});
  text.sample({{"a", "\""}, {"b", "}"}}, 1e300);
  EXPECT_EQ(text.text(), "# HELP x Some x.\n# TYPE x gauge\nx 7\nx{a=\"\\\"\",b=\"}\"} 1e+300\n");
}

}  // namespace
}  // namespace saemill::api
