#include "control/api/prometheus.h"

#include <algorithm>
#include <array>

#include "control/api/prometheus_text.h"

namespace saemill::api {
namespace {

using Value = std::optional<double>;

constexpr const char* kGauge = "gauge";
constexpr const char* kCounter = "counter";

// The text has no place for the age of a value: an older one would look like one of now.
constexpr double kMostAgeMs = 10e3;

struct DeviceMetric {
  const char *name, *type, *help;
  Value (*value)(const Device& device);
};

Value number(const std::optional<int64_t>& value) {
  return value ? Value(static_cast<double>(*value)) : std::nullopt;
}

Value flag(const std::optional<bool>& value) {
  return value ? Value(*value ? 1 : 0) : std::nullopt;
}

Value times(const Value& value, double factor) {
  return value ? Value(*value * factor) : std::nullopt;
}

// A divided GPU's memory is that of its instances: sums over all series must not count it twice.
Value mebibytes(const Device& device, const std::optional<int64_t>& bytes) {
  constexpr double kMebibyte = 1 << 20;
  return device.mig_parent ? std::nullopt : times(number(bytes), 1 / kMebibyte);
}

constexpr DeviceMetric kGpuMetrics[] = {
    {"DCGM_FI_DEV_SM_CLOCK", kGauge, "Clock of the multiprocessors, in MHz.",
     [](const Device& device) { return device.clock_sm; }},
    {"DCGM_FI_DEV_MEM_CLOCK", kGauge, "Clock of the memory, in MHz.",
     [](const Device& device) { return device.clock_memory; }},
    {"DCGM_FI_DEV_GPU_TEMP", kGauge, "Temperature of the GPU, in degrees Celsius.",
     [](const Device& device) { return device.temperature; }},
    {"DCGM_FI_DEV_POWER_USAGE", kGauge, "Power that is drawn, in W.",
     [](const Device& device) { return device.power_draw; }},
    {"DCGM_FI_DEV_POWER_MGMT_LIMIT", kGauge, "Power that may be drawn, in W.",
     [](const Device& device) { return device.power_limit; }},
    {"DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", kCounter, "Energy used since the driver was loaded, in mJ.",
     [](const Device& device) { return times(device.energy, 1e3); }},
    {"DCGM_FI_DEV_FAN_SPEED", kGauge, "Intended speed of the fan, in percent.",
     [](const Device& device) { return device.fan_speed; }},
    {"DCGM_FI_DEV_GPU_UTIL", kGauge, "Share of time in which any kernel ran, in percent.",
     [](const Device& device) { return device.utilization; }},
    {"DCGM_FI_DEV_MEM_COPY_UTIL", kGauge, "Share of time in which memory was read or written, in percent.",
     [](const Device& device) { return device.memory_utilization; }},
    {"DCGM_FI_DEV_FB_TOTAL", kGauge, "Memory of the device, in MiB.",
     [](const Device& device) { return mebibytes(device, device.memory_total); }},
    {"DCGM_FI_DEV_FB_FREE", kGauge, "Memory that is free, in MiB.",
     [](const Device& device) { return mebibytes(device, device.memory_free); }},
    {"DCGM_FI_DEV_FB_USED", kGauge, "Memory that is used, in MiB.",
     [](const Device& device) { return mebibytes(device, device.memory_used); }},
    {"DCGM_FI_DEV_FB_RESERVED", kGauge, "Memory that the driver keeps for itself, in MiB.",
     [](const Device& device) { return mebibytes(device, device.memory_reserved); }},
    {"DCGM_FI_DEV_XID_ERRORS", kGauge, "Number of the last XID error.",
     [](const Device& device) { return number(device.last_xid); }},
    {"DCGM_FI_DEV_ECC_SBE_VOL_TOTAL", kCounter, "Corrected memory errors since the driver was loaded.",
     [](const Device& device) { return number(device.ecc.corrected); }},
    {"DCGM_FI_DEV_ECC_DBE_VOL_TOTAL", kCounter, "Uncorrectable memory errors since the driver was loaded.",
     [](const Device& device) { return number(device.ecc.uncorrected); }},
    {"DCGM_FI_DEV_CORRECTABLE_REMAPPED_ROWS", kCounter, "Memory rows replaced after correctable errors.",
     [](const Device& device) { return number(device.ecc.remapped_corrected); }},
    {"DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS", kCounter, "Memory rows replaced after uncorrectable errors.",
     [](const Device& device) { return number(device.ecc.remapped_uncorrected); }},
    {"DCGM_FI_DEV_ROW_REMAP_PENDING", kGauge, "1 where a memory row waits for a reset to be replaced.",
     [](const Device& device) { return flag(device.ecc.remap_pending); }},
    {"DCGM_FI_DEV_ROW_REMAP_FAILURE", kGauge, "1 where a memory row could not be replaced.",
     [](const Device& device) { return flag(device.ecc.remap_failure); }},
    {"DCGM_FI_PROF_PCIE_TX_BYTES", kGauge, "Bytes that the GPU sends over PCIe each second.",
     [](const Device& device) { return device.pcie.tx; }},
    {"DCGM_FI_PROF_PCIE_RX_BYTES", kGauge, "Bytes that the GPU receives over PCIe each second.",
     [](const Device& device) { return device.pcie.rx; }},
    {"DCGM_FI_PROF_NVLINK_TX_BYTES", kGauge, "Bytes that the GPU sends over NVLink each second.",
     [](const Device& device) { return device.nvlink.tx; }},
    {"DCGM_FI_PROF_NVLINK_RX_BYTES", kGauge, "Bytes that the GPU receives over NVLink each second.",
     [](const Device& device) { return device.nvlink.rx; }},
};

constexpr DeviceMetric kSlotMetrics[] = {
    {"saemill_cpu_slot_utilization_ratio", kGauge, "Share of the slot's cores that its rank keeps busy.",
     [](const Device& device) { return times(device.utilization, 0.01); }},
    {"saemill_cpu_slot_memory_bytes", kGauge, "The slot's share of the machine's memory.",
     [](const Device& device) { return number(device.memory_total); }},
    {"saemill_cpu_slot_memory_used_bytes", kGauge, "Memory that the slot's rank holds.",
     [](const Device& device) { return number(device.memory_used); }},
    {"saemill_cpu_slot_memory_free_bytes", kGauge, "Memory that the slot can still give.",
     [](const Device& device) { return number(device.memory_free); }},
};

// The driver's number of a whole GPU, as in /dev/nvidiaN's usual order; of a MIG instance its GPU's.
std::string gpu_number(const Snapshot& snapshot, const Device& device) {
  const std::string& uuid = device.parent_uuid.value_or(device.uuid);
  int number = 0;
  for (const Device& other : snapshot.devices) {
    if (other.kind != DeviceKind::gpu) continue;
    if (other.uuid == uuid) return std::to_string(number);
    ++number;
  }
  return "";
}

// UUID is the instance's own for MIG: dcgm-exporter tells instances apart by GPU_I_ID, which we do not know.
PrometheusLabels gpu_labels(const Snapshot& snapshot, const Device& device) {
  constexpr std::string_view kMig = " MIG ";
  const std::string number = gpu_number(snapshot, device);
  const size_t mig = device.kind == DeviceKind::mig ? device.name.find(kMig) : std::string::npos;
  return {{"gpu", number},
          {"UUID", device.uuid},
          {"pci_bus_id", device.pci_bus_id.value_or("")},
          {"device", number.empty() ? "" : "nvidia" + number},
          {"modelName", device.name.substr(0, mig)},
          {"GPU_I_PROFILE", mig == std::string::npos ? "" : device.name.substr(mig + kMig.size())},
          {"hostname", snapshot.host.host},
          {"DCGM_FI_DRIVER_VERSION", snapshot.driver.driver_version}};
}

PrometheusLabels slot_labels(const Snapshot& snapshot, const Device& device) {
  return {{"device", short_name(snapshot.devices, device)},
          {"UUID", device.uuid},
          {"hostname", snapshot.host.host}};
}

void add_devices(PrometheusText& text, const Snapshot& snapshot) {
  std::vector<std::pair<const Device*, PrometheusLabels>> gpus, slots;
  for (const Device& device : snapshot.devices) {
    if (device.lost || device.unreadable || device.age_ms > kMostAgeMs) continue;
    if (device.kind == DeviceKind::cpu) {
      slots.emplace_back(&device, slot_labels(snapshot, device));
    } else {
      gpus.emplace_back(&device, gpu_labels(snapshot, device));
    }
  }
  const auto add = [&](const DeviceMetric& metric, const auto& devices) {
    text.family(metric.name, metric.type, metric.help);
    for (const auto& [device, labels] : devices) text.sample(labels, metric.value(*device));
  };
  for (const DeviceMetric& metric : kGpuMetrics) add(metric, gpus);
  for (const DeviceMetric& metric : kSlotMetrics) add(metric, slots);

  text.family("saemill_device_state", kGauge, "1 for what may be done with the device now.");
  for (const Device& device : snapshot.devices)
    text.sample({{"UUID", device.uuid}, {"state", to_string(device.availability)}}, int64_t{1});
  text.family("saemill_device_job_info", kGauge, "1 for the job that holds the device.");
  for (const Device& device : snapshot.devices)
    if (!device.current_job.empty())
      text.sample(
          {{"UUID", device.uuid}, {"job_id", device.current_job}, {"job_type", device.current_job_type}},
          int64_t{1});
  text.family("saemill_device_reading_age_seconds", kGauge,
              "How old the device's reading was; beyond 10 s its metrics are left out.");
  for (const Device& device : snapshot.devices)
    text.sample({{"UUID", device.uuid}}, Value(device.age_ms / 1e3));
}

void add_host(PrometheusText& text, const Snapshot& snapshot) {
  const HostSample& host = snapshot.host;
  const PrometheusLabels labels{{"hostname", host.host}};
  const auto gauge = [&](const char* name, const char* help, const Value& value) {
    text.family(name, kGauge, help);
    text.sample(labels, value);
  };
  gauge("saemill_host_cpu_cores", "Cores that are online.", host.cores);
  gauge("saemill_host_cpu_utilization_ratio", "Share of all cores that was busy.",
        times(host.cpu_utilization, 0.01));
  gauge("saemill_host_load1", "Load average of the last minute.", host.load);
  gauge("saemill_host_memory_bytes", "Memory of the machine, or of the container's limit.",
        number(host.memory_total));
  gauge("saemill_host_memory_available_bytes", "Memory that programs can still get.",
        number(host.memory_available));
  gauge("saemill_host_swap_bytes", "Swap space.", number(host.swap_total));
  gauge("saemill_host_swap_used_bytes", "Swap space in use.", number(host.swap_used));
  gauge("saemill_host_network_transmit_bytes_per_second", "Sent over all interfaces but loopback.",
        host.network.tx);
  gauge("saemill_host_network_receive_bytes_per_second", "Received over all interfaces but loopback.",
        host.network.rx);
  gauge("saemill_host_disk_bytes", "Size of the disk that holds the server's data.", number(host.disk_total));
  gauge("saemill_host_disk_free_bytes", "Free space of the disk that holds the server's data.",
        number(host.disk_free));
  text.family("saemill_driver_state", kGauge, "1 for how the GPU driver behaves now.");
  text.sample({{"state", snapshot.driver.state}}, int64_t{1});
  text.single("saemill_snapshot_timestamp_seconds", kGauge,
              "When the newest sample was taken, in epoch seconds.", Value(snapshot.epoch));
}

void add_server(PrometheusText& text, const Services& services, const Snapshot* snapshot) {
  const MonitorCost cost = services.monitor_cost();
  text.single("saemill_sampler_samples_total", kCounter, "Samples of all devices since the start.",
              cost.samples);
  text.single("saemill_sampler_mean_seconds", kGauge, "Mean time of a sample.", Value(cost.mean_ms / 1e3));
  text.single("saemill_sampler_max_seconds", kGauge, "Longest time of a sample.", Value(cost.max_ms / 1e3));
  text.single("saemill_sampler_cpu_ratio", kGauge, "Share of one core that sampling took since the start.",
              Value(cost.cpu_percent / 100));

  const Recorder::Status history = services.recorder();
  text.single("saemill_history_waiting", kGauge, "Samples not yet in the database.", history.waiting);
  text.single("saemill_history_dropped_total", kCounter, "Samples that never came into the database.",
              history.dropped);
  const EventRecorder::Status events = services.event_recorder();
  text.single("saemill_events_waiting", kGauge, "Machine events not yet in the database.", events.waiting);
  text.single("saemill_events_dropped_total", kCounter, "Machine events that never came into the database.",
              events.dropped);
  const bool up = history.error.empty() && events.error.empty() &&
                  (snapshot == nullptr || snapshot->store_problem.empty());
  text.single("saemill_database_up", kGauge, "1 where the database answered when it was last asked.",
              int64_t{up ? 1 : 0});

  const Jobs::Look look = services.last_look();
  text.single("saemill_trainings_queued", kGauge, "Trainings that wait for devices.", look.queued);
  text.single("saemill_trainings_active", kGauge, "Trainings that hold devices or have a launcher.",
              look.active);

  const NetStatus net = services.net();
  text.single("saemill_http_requests_total", kCounter, "Requests since the start.", net.requests);
  text.single("saemill_http_refused_total", kCounter, "Requests refused before they reached an endpoint.",
              net.refused);
  text.single("saemill_connections", kGauge, "Open connections.", net.connections);
  text.single("saemill_websockets", kGauge, "Open WebSockets.", net.websockets);

  text.family("saemill_build_info", kGauge, "1 for the program's version.");
  text.sample({{"version", services.info.version}}, int64_t{1});
  text.single("saemill_start_time_seconds", kGauge, "When the server started, in epoch seconds.",
              Value(services.info.started_at));
}

}  // namespace

std::string prometheus_text(const Services& services) {
  PrometheusText text;
  const auto snapshot = services.snapshot();
  if (snapshot) {
    add_devices(text, *snapshot);
    add_host(text, *snapshot);
  }
  add_server(text, services, snapshot.get());
  return text.text();
}

}  // namespace saemill::api
