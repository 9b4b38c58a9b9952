// XID, ECC and MIG events of the driver, polled: a wait with a timeout would be another thread that can hang.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "control/monitor/nvml/nvml_library.h"

namespace saemill::nvml {

struct GpuEvent {
  std::string uuid;
  int64_t xid = 0;  // 0: not an XID event
  bool mig_config = false;
  bool double_bit_ecc = false;
};

class EventQueue {
 public:
  explicit EventQueue(Library& library) : library_(library) {}
  ~EventQueue() { close(); }
  EventQueue(const EventQueue&) = delete;
  EventQueue& operator=(const EventQueue&) = delete;

  struct Source {
    Handle handle;
    std::string uuid;
  };
  // Begins a new set; what happened before is lost, as NVML reports only what follows a registration. Does
  // nothing where the driver has no events.
  void open(std::vector<Source> sources);
  void close();
  std::vector<GpuEvent> poll();  // never waits

 private:
  Library& library_;
  EventSet set_ = nullptr;
  std::vector<Source> sources_;
};

}  // namespace saemill::nvml
