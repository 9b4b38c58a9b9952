// For tests: services on a SQLite store in a folder of their own, with hand-made snapshots and a worker that
// is asked nothing.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <memory>

#include "common/base/error.h"
#include "common/base/temporary_folder.h"
#include "control/api/services.h"
#include "control/jobs/checkpoint_requests.h"

namespace saemill::api {

// Everything that a GPU may tell.
inline Device full_gpu(const std::string& uuid) {
  Device device;
  device.uuid = uuid, device.name = "NVIDIA H200", device.pci_bus_id = "00000000:0F:00.0";
  device.memory_total = int64_t{128} << 30, device.memory_used = int64_t{2} << 30;
  device.memory_free = int64_t{125} << 30, device.memory_reserved = int64_t{1} << 30;
  device.utilization = 12.5, device.memory_utilization = 3, device.temperature = 41;
  device.power_draw = 120.25, device.power_limit = 700, device.energy = 1234.5, device.fan_speed = 30;
  device.clock_sm = 1980, device.clock_memory = 3201;
  device.throttle = std::vector<std::string>{"sw_power_cap", "hw_thermal"};
  device.pcie = {1e6, 2e6}, device.nvlink = {3e9, 4e9};
  device.ecc = {.corrected = 2,
                .uncorrected = 0,
                .remapped_corrected = 1,
                .remapped_uncorrected = 0,
                .remap_pending = false,
                .remap_failure = false};
  device.last_xid = 31, device.compute_mode = "default", device.persistence_mode = true;
  device.processes.emplace();
  device.availability = Availability::free, device.reason = {"free", "free"};
  device.sampled_at = 1.8e9;
  return device;
}

// A device that tells nothing but that it is there.
inline Device bare_device(DeviceKind kind, const std::string& uuid, Availability availability,
                          const std::string& code) {
  Device device;
  device.kind = kind, device.uuid = uuid, device.name = "GPU";
  device.availability = availability, device.reason = {code, "because of " + code};
  device.sampled_at = 1.8e9;
  return device;
}

inline Device cpu_slot(int slot) {
  Device device =
      bare_device(DeviceKind::cpu, "CPU-here-" + std::to_string(slot), Availability::free, "free");
  device.name = "Some CPU (1/2 of 4 cores)";
  device.memory_total = int64_t{8} << 30, device.memory_used = 0, device.memory_free = int64_t{8} << 30;
  device.processes.emplace();
  return device;
}

inline HostSample full_host() {
  HostSample host;
  host.host = "here", host.cpu_name = "Some CPU", host.cores = 4;
  host.cpu_utilization = 25, host.load = 0.5;
  host.memory_total = int64_t{16} << 30, host.memory_available = int64_t{12} << 30;
  host.swap_total = 1024, host.swap_used = 256;
  host.network = {10, 20};
  host.disk_path = "/data", host.disk_total = 1000, host.disk_free = 400;
  host.sampled_at = 1.8e9;
  return host;
}

inline void take_places(Snapshot& snapshot) {
  for (size_t i = 0; i < snapshot.devices.size(); ++i) snapshot.devices[i].index = static_cast<int>(i);
}

// Devices of every kind and availability, with and without what they may tell.
inline std::shared_ptr<Snapshot> rich_snapshot() {
  auto snapshot = std::make_shared<Snapshot>();
  auto& devices = snapshot->devices;
  devices.push_back(full_gpu("GPU-00000000"));
  Device leased = full_gpu("GPU-11111111");
  leased.availability = Availability::leased, leased.reason = {"leased", "leased to training t1"};
  leased.current_job = "t1", leased.current_job_type = "training";
  leased.processes->push_back({100, "compute", "me", "saemill-worker", 1000, "t1"});
  devices.push_back(leased);
  Device foreign = full_gpu("GPU-22222222");
  foreign.availability = Availability::foreign, foreign.reason = {"process", "used by pid 7"};
  foreign.processes->push_back({7, "graphics", std::nullopt, std::nullopt, std::nullopt, std::nullopt});
  foreign.pcie = {5.0, std::nullopt}, foreign.nvlink = {std::nullopt, 5.0};
  foreign.clock_sm.reset(), foreign.ecc = {}, foreign.ecc.remap_pending = true;
  devices.push_back(foreign);
  Device sick = full_gpu("GPU-33333333");
  sick.health.reasons.push_back({"xid", "XID 79"});
  sick.availability = Availability::unhealthy, sick.reason = sick.health.reasons[0];
  sick.clock_memory.reset(), sick.ecc = {}, sick.ecc.corrected = 1;
  devices.push_back(sick);
  devices.push_back(bare_device(DeviceKind::gpu, "GPU-44444444", Availability::prohibited, "mig_parent"));
  devices.back().mig_parent = true;
  devices.push_back(bare_device(DeviceKind::mig, "MIG-44444444", Availability::free, "free"));
  devices.back().name = "NVIDIA H200 MIG 1g.18gb", devices.back().parent_uuid = "GPU-44444444";
  devices.back().memory_free = int64_t{17} << 30;
  devices.push_back(bare_device(DeviceKind::gpu, "GPU-66666666", Availability::lost, "lost"));
  devices.back().lost = devices.back().reason;
  devices.push_back(bare_device(DeviceKind::gpu, "unreadable-7", Availability::unknown, "no_permission"));
  devices.back().unreadable = devices.back().reason;
  devices.push_back(full_gpu("GPU-99999999"));
  devices.push_back(cpu_slot(0));
  devices.push_back(cpu_slot(1));
  devices.back().utilization = 50;
  devices.back().processes->push_back({101, "rank", "me", "saemill-worker", 1 << 20, std::nullopt});
  take_places(*snapshot);
  snapshot->host = full_host();
  snapshot->driver = {"answering", "", "570.86.15", "12.570.86.15", "libnvidia-ml.so.1"};
  snapshot->epoch = 1.8e9;
  return snapshot;
}

// A machine of which little can be told.
inline std::shared_ptr<Snapshot> poor_snapshot() {
  auto snapshot = std::make_shared<Snapshot>();
  snapshot->devices.push_back(bare_device(DeviceKind::gpu, "GPU-00000000", Availability::unknown, "stale"));
  snapshot->host.host = "here";
  snapshot->driver.state = "hanging", snapshot->driver.message = "a call does not come back";
  snapshot->store_problem = "the database does not answer";
  return snapshot;
}

class ServicesTest : public ::testing::Test {
 protected:
  static constexpr const char* kToken = "the-token";

  void SetUp() override {
    database_ = std::make_unique<Database>("sqlite:" + (folder_ / "store.db").string());
    history_ = std::make_unique<DeviceHistory>(*database_);
    events_ = std::make_unique<MachineEvents>(*database_);
    trainings_ = std::make_unique<Trainings>(*database_);
    checkpoints_ = std::make_unique<Checkpoints>(*database_);
    training_metrics_ = std::make_unique<TrainingMetrics>(*database_);
    training_events_ = std::make_unique<TrainingEvents>(*database_);
    measured_runs_ = std::make_unique<MeasuredRuns>(*database_);
    keys_ = std::make_unique<IdempotencyKeys>(*database_);
    sessions_ = std::make_unique<Sessions>(*database_);
    auth_ = std::make_unique<Auth>(kToken, "server", *sessions_);
    activations_ = folder_ / "activations";
    std::filesystem::create_directory(activations_);
    std::ofstream(activations_ / "shard.safetensors") << "x";
    std::ofstream(activations_ / "damaged.safetensors") << "x";
    fill();
  }

  TemporaryFolder temporary_;
  std::filesystem::path folder_ = temporary_.path, activations_;
  std::shared_ptr<const Snapshot> snapshot_ = rich_snapshot();
  std::unique_ptr<Database> database_;
  std::unique_ptr<DeviceHistory> history_;
  std::unique_ptr<MachineEvents> events_;
  std::unique_ptr<Trainings> trainings_;
  std::unique_ptr<Checkpoints> checkpoints_;
  std::unique_ptr<TrainingMetrics> training_metrics_;
  std::unique_ptr<TrainingEvents> training_events_;
  std::unique_ptr<MeasuredRuns> measured_runs_;
  std::unique_ptr<IdempotencyKeys> keys_;
  std::unique_ptr<Sessions> sessions_;
  std::unique_ptr<Auth> auth_;
  Hub hub_{[] {}};
  Services services_;
  bool busy_ = false;                         // nothing can start now
  std::optional<ControlRequest> controlled_;  // the last

 private:
  // What Jobs does, without anything behind it: rows come into the store and move by the table of states.
  std::vector<TrainingRow> create(std::vector<TrainingRow> rows, bool now) {
    if (now && busy_) throw Refused("gpu_unavailable", "GPU-00000000 is leased to training t1");
    for (TrainingRow& row : rows) {
      row.id = "new-" + std::to_string(++created_);
      if (rows.size() > 1) row.group_id = "group-" + std::to_string(created_ - (&row - rows.data()));
      row.server_id = "server", row.host = "here", row.created_at = 1'800'000'000'123;
    }
    trainings_->insert(rows);
    return rows;
  }
  int64_t checkpoint(const std::string& id, const std::string& name, const char* otherwise) {
    for (const CheckpointRow& row : checkpoints_->list(id))
      if (row.name == name) return row.step;
    throw Refused(otherwise, "there is no checkpoint " + name);
  }
  void erase_checkpoint(const std::string& id, const std::string& name) {
    const int64_t step = checkpoint(id, name, "not_found");
    const auto why = why_it_stays(*trainings_->find(id), checkpoints_->list(id), step);
    if (!why.empty()) throw Refused("bad_state", why);
    checkpoints_->remove(id, step, 1);
  }
  TrainingRow control(const std::string& id, const ControlRequest& request) {
    const auto found = trainings_->find(id);
    if (!found) throw Refused("not_found", "there is no training " + id);
    const ActionOutcome outcome = apply(found->status, request.action);
    if (!outcome.next) throw Refused("bad_state", outcome.refusal);
    TrainingChange change;
    change.status = outcome.next, change.priority = request.priority;
    if (request.checkpoint)
      change.from_checkpoint.emplace(checkpoint(id, *request.checkpoint, "no_checkpoint"));
    trainings_->update(id, found->status, change);
    controlled_ = request;
    return *trainings_->find(id);
  }
  void erase(const std::string& id) {
    if (!trainings_->erase(id)) throw Refused("bad_state", "training " + id + " holds devices");
  }

  void fill() {
    services_.info = {"server", "boot", "0.1.0", "here", 1.8e9, "sqlite:store.db"};
    services_.snapshot = [this] { return snapshot_; };
    services_.monitor_cost = [] { return MonitorCost{10, 1.5, 20, 0.25}; };
    services_.recorder = [] { return Recorder::Status{3, 1, ""}; };
    services_.event_recorder = [] { return EventRecorder::Status{2, 0, ""}; };
    services_.net = [] { return NetStatus{5, 2, 100, 7}; };
    services_.last_look = [] { return Jobs::Look{3, 2, 1.5, ""}; };
    services_.history = history_.get(), services_.events = events_.get();
    services_.trainings = trainings_.get(), services_.checkpoints = checkpoints_.get();
    services_.training_metrics = training_metrics_.get(), services_.training_events = training_events_.get();
    services_.measured_runs = measured_runs_.get();
    services_.create_trainings = [this](std::vector<TrainingRow> rows, bool now) {
      return create(std::move(rows), now);
    };
    services_.control_training = [this](const std::string& id, const ControlRequest& request) {
      return control(id, request);
    };
    services_.erase_checkpoint = [this](const std::string& id, const std::string& name) {
      erase_checkpoint(id, name);
    };
    services_.erase_training = [this](const std::string& id) { erase(id); };
    services_.run_folder = [this](const std::string& id) { return folder_ / "trainings" / id; };
    services_.idempotency = keys_.get(), services_.auth = auth_.get(), services_.hub = &hub_;
    services_.inspect = [](const std::filesystem::path& path, const std::string& tensor) {
      if (path.filename() == "damaged.safetensors") fail(ErrorCode::bad_data, "{} is damaged", path.string());
      return Json{{"files", 1},      {"rows", 1000},     {"d_in", 64},
                  {"dtype", "bf16"}, {"tensor", tensor}, {"bytes", 128000}};
    };
    services_.activation_folders = {activations_};
    services_.gpu_constants = [](const Device&, const std::string&) {
      return std::optional<DeviceConstants>();
    };
  }

  int64_t created_ = 0;
};

}  // namespace saemill::api
