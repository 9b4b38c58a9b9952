// What differs between the emulation and a real GPU: emulated_setup.cpp and gpu_setup.cpp.
#pragma once

#include <ostream>
#include <string>
#include <vector>

namespace saemill {

struct Transport {
  bool nccl = false;  // else local_gpu
  int ranks = 1;
};
inline std::ostream& operator<<(std::ostream& out, const Transport& transport) {
  return out << (transport.nccl ? "nccl" : "local_gpu") << " with " << transport.ranks << " ranks";
}

std::vector<Transport> transports();
std::string why_not(const Transport& transport);  // it cannot be tested here; empty where it can
std::string nccl_library();

// In which order the device does what it may do in any order. A real one has one that nobody can choose.
std::vector<std::string> schedules();
void use_schedule(const std::string& schedule);

// Before the ranks start. The scenario is one of fake_nccl.h.
void prepare(const Transport& transport, const std::string& scenario, const std::string& library);

}  // namespace saemill
