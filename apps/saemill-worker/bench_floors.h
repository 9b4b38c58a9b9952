// What the phases of a step must cost on this machine: their products at the rate of one large GEMM, their
// bytes at the rate of a copy, both measured in the same run.
#pragma once

#include <map>
#include <string>

#include "bench_training.h"

namespace saemill {

struct MachineRates {
  double multiply_adds = 0;   // per second, of GEMM operands of the run's type
  double copied_bytes = 0;    // per second, read plus written
  double uploaded_bytes = 0;  // per second, from page-locked memory to a GPU; 0 where there is none
};

MachineRates cpu_rates(const BenchSetup& setup, int threads);
MachineRates gpu_rates(const BenchSetup& setup);  // of the thread's device

// Milliseconds by phase, where a phase has a floor.
std::map<std::string, double> cpu_floors(const BenchSetup& setup, const MachineRates& rates);
std::map<std::string, double> gpu_floors(const BenchSetup& setup, const MachineRates& rates);

}  // namespace saemill
