// All GPUs of the driver, read in one go. Used by the NVML thread alone.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "control/monitor/device.h"
#include "control/monitor/nvml/nvml_events.h"
#include "control/monitor/nvml/nvml_gpu.h"

namespace saemill::nvml {

// How near each pair is: NVLinks that lead to the other (or to the switch that both hang on), and the PCIe
// level that they share.
Topology read_topology(Library& library, const std::vector<std::unique_ptr<Gpu>>& gpus);

struct Reading {
  int result = kSuccess;  // of the driver as a whole; otherwise there are no devices
  std::string driver_version, library_version;
  std::vector<Device> devices;  // in the driver's order; MIG instances after their GPU
  Topology topology;
  std::vector<GpuEvent> events;  // since the reading before
};

class Reader {
 public:
  explicit Reader(std::shared_ptr<Library> library);
  ~Reader();  // nvmlShutdown
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;

  // `now` monotonic, `epoch` wall time. Opens NVML if it is not open, and finds the devices again every
  // minute, when their number changes, when MIG was configured, and every few seconds while one fails.
  Reading read(double now, double epoch);

 private:
  int open();
  void close();
  int enumerate();
  void add_gpu(unsigned index, std::vector<std::unique_ptr<Gpu>>& earlier);
  void add_mig_instances(std::vector<std::unique_ptr<Gpu>>& earlier);
  bool must_enumerate(double now);

  std::shared_ptr<Library> library_;
  bool open_ = false;
  bool driver_gone_ = false;  // it did not answer since the last enumeration: what comes back was reset
  bool stale_ = true;         // enumerate at the next reading
  unsigned count_ = 0;
  double enumerated_ = 0, read_slow_ = 0;
  std::string driver_version_, library_version_;
  std::vector<std::unique_ptr<Gpu>> gpus_;
  Topology topology_;
  EventQueue events_;
};

}  // namespace saemill::nvml
