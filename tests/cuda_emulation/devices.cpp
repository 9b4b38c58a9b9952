// Devices of the emulation, behind engine/gpu/runtime.h.
#include <cstdlib>
#include <string>

#include "common/base/error.h"
#include "engine/gpu/runtime.h"
#include "gpu_emulation_control.h"
#include "machine.h"

namespace saemill::gpu {
namespace emulation {
namespace {

thread_local int device_of_thread = 0;

std::vector<Device> make_devices(int count, size_t memory_bytes) {
  std::vector<Device> devices;
  for (int i = 0; i < count; ++i) {
    Device d;
    d.index = i;
    d.uuid = fmt::format("GPU-e4e4e4e4-0000-4000-8000-{:012x}", i);
    d.name = "emulated GPU";
    d.pci_bus_id = fmt::format("0000:{:02x}:00.0", i + 1);
    d.capability_major = 9;
    d.capability_minor = 0;
    d.multiprocessors = 132;
    d.memory_bytes = memory_bytes;
    d.l2_bytes = size_t{50} << 20;
    d.shared_bytes = size_t{227} << 10;
    d.driver_version = d.runtime_version = 13000;
    devices.push_back(d);
  }
  return devices;
}

int count_at_start() {
  const char* text = std::getenv("SAEMILL_EMULATION_DEVICES");
  if (!text) return 1;
  const std::string count = text;
  if (count.empty() || count.size() > 2 || count.find_first_not_of("0123456789") != std::string::npos)
    fail(ErrorCode::bad_config, "SAEMILL_EMULATION_DEVICES is '{}': 0 to 99", count);
  return std::stoi(count);
}

std::vector<Device>& all() {
  static std::vector<Device> devices = make_devices(count_at_start(), size_t{80} << 30);
  return devices;
}

}  // namespace

void set_devices(int count, size_t memory_bytes) {
  all() = make_devices(count, memory_bytes);
}

int this_device() {
  if (all().empty()) throw Error(ErrorCode::bad_config, unavailable());
  ensure(static_cast<size_t>(device_of_thread) < all().size(),
         "the thread's emulated GPU is no longer there");
  return device_of_thread;
}

}  // namespace emulation

std::string unavailable() {
  return devices().empty() ? "the emulation has no devices" : "";
}

const std::vector<Device>& devices() {
  return emulation::all();
}

void use_device(int index) {
  if (index < 0 || static_cast<size_t>(index) >= devices().size())
    fail(ErrorCode::internal, "choosing the device failed: there is no GPU {}", index);
  emulation::device_of_thread = index;
}

int current_device() {
  return emulation::this_device();
}

MemoryInfo memory_info() {
  return emulation::machine().memory_info();
}

}  // namespace saemill::gpu
