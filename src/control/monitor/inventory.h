// All devices of this machine at one moment, with who has each: a pure function of what was read.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "control/monitor/device.h"
#include "control/monitor/host.h"
#include "control/monitor/nvml/nvml_session.h"
#include "control/store/leases.h"

namespace saemill {

struct DriverState {
  std::string state;    // nvml::SessionStatus::State, as a word
  std::string message;  // what is wrong; empty where nothing is
  std::string driver_version, library_version, library;
  bool told = false;   // the newest reading lists the GPUs; false as well where there is no driver
  double read_at = 0;  // monotonic; when the newest reading began; 0: there is none
};

// Whether this machine may have GPUs that nobody has told of yet: the driver starts, hangs before its first
// word, or refuses. Then no one may conclude that it has none.
bool gpus_unknown(const DriverState& driver);
std::string words_of(const DriverState& driver);  // "hanging: the driver has not answered ..."

struct Snapshot {
  std::vector<Device> devices;
  Topology topology;
  HostSample host;
  DriverState driver;
  std::map<std::string, int64_t> last_used;  // uuid -> epoch seconds of the end of its last lease
  std::vector<nvml::GpuEvent> events;        // of a Monitor's own samples: since the one before
  std::string store_problem;                 // leases could not be read; empty: they are known
  double taken = 0;                          // monotonic; of the oldest reading in it
  double epoch = 0;                          // wall time
};

struct InventoryInput {
  nvml::SessionStatus gpus;
  std::vector<Device> cpu_slots;
  std::vector<Lease> leases;  // active
  std::string host;           // whose leases count: those of others are for their devices
  double now = 0, epoch = 0;
  double stale_after = 3;    // seconds; a reading older than that is not trusted
  std::string visible;       // CUDA_VISIBLE_DEVICES; empty: every device may be used
  bool pids_hidden = false;  // a container with its own pids: the driver's cannot be told apart
};

// GPUs in the driver's order, each followed by its MIG instances, then CPU slots; a leased device that the
// driver shows no more comes last, as lost.
std::vector<Device> build_inventory(const InventoryInput& input);

// Decides availability, reason and job of one device; marks the processes that belong to the lease. Of
// several states the first wins: lost, unhealthy, leased, prohibited, unknown (no permission, stale),
// foreign, free. Compute and MPS processes and ranks that are not the job's make a device foreign; a
// desktop's graphics do not, their memory is merely not free.
void decide_availability(Device& device, const Lease* lease, const InventoryInput& input);

// {gpu_count, total_memory_used, ...} over all devices; what no device can tell is absent.
nlohmann::ordered_json aggregate(const std::vector<Device>& devices);

nlohmann::ordered_json devices_json(const std::vector<Device>& devices);  // {gpu_count, gpus[]}

}  // namespace saemill
