// Cores of ranks on machines that are made up: sysfs as the kernel writes it.
#include "control/launch/cores.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <fstream>
#include <numeric>

#include "common/base/proc.h"
#include "common/base/temporary_folder.h"

namespace saemill {
namespace {

namespace fs = std::filesystem;
using Cores = std::vector<int>;
using Shares = std::vector<Cores>;

Cores range(int first, int last) {
  Cores cores(static_cast<size_t>(last - first + 1));
  std::iota(cores.begin(), cores.end(), first);
  return cores;
}

Cores both(Cores a, const Cores& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

std::string pci(int gpu) {
  return fmt::format("00000000:{:02X}:00.0", 0x0a + gpu);
}

std::vector<JobDevice> gpus(int first, int last) {
  std::vector<JobDevice> devices;
  for (int gpu = first; gpu <= last; ++gpu)
    devices.push_back({fmt::format("gpu:{}", gpu), fmt::format("GPU-{}", gpu), pci(gpu)});
  return devices;
}

class CoresOfRanks : public ::testing::Test {
 protected:
  void write(const fs::path& file, const std::string& text) const {
    fs::create_directories((sysfs_ / file).parent_path());
    std::ofstream(sysfs_ / file) << text << "\n";
  }
  // Cores whose second threads come after all first ones, as Linux numbers them.
  void add_cpus(int physical, bool smt) const {
    for (int core = 0; core < physical; ++core)
      for (const int thread : smt ? Cores{core, core + physical} : Cores{core})
        write(fmt::format("devices/system/cpu/cpu{}/topology/thread_siblings_list", thread),
              smt ? fmt::format("{},{}", core, core + physical) : std::to_string(core));
  }
  void add_gpu(int gpu, const std::string& local) const {
    write(fmt::format("bus/pci/devices/0000:{:02x}:00.0/local_cpulist", 0x0a + gpu), local);
  }
  Shares cores(const std::vector<JobDevice>& devices, const Cores& allowed) const {
    return cores_of_ranks(devices, allowed, sysfs_);
  }

  TemporaryFolder temporary_;
  fs::path sysfs_ = temporary_.path;
};

TEST_F(CoresOfRanks, CpuSlotsDivideAllWithinOne) {
  EXPECT_EQ(cores(cpu_slots(1), {2, 3, 5}), (Shares{{2, 3, 5}}));
  EXPECT_EQ(cores(cpu_slots(2), {2, 3, 5, 7}), (Shares{{2, 3}, {5, 7}}));
  EXPECT_EQ(cores(cpu_slots(2), {0, 1, 2}), (Shares{{0}, {1, 2}}));
  EXPECT_EQ(cores(cpu_slots(3), {0, 1}), (Shares{{}, {}, {}}));
  EXPECT_FALSE(cores_of_ranks(cpu_slots(1), allowed_cores())[0].empty());
}

TEST_F(CoresOfRanks, CpuSlotsShareNoPhysicalCore) {
  add_cpus(4, true);
  EXPECT_EQ(cores(cpu_slots(2), range(0, 7)), (Shares{{0, 1, 4, 5}, {2, 3, 6, 7}}));
  EXPECT_EQ(cores(cpu_slots(4), range(0, 7)), (Shares{{0, 4}, {1, 5}, {2, 6}, {3, 7}}));
  EXPECT_EQ(cores(cpu_slots(2), {1, 3, 5}), (Shares{{1, 5}, {3}})) << "a mask may have one of two threads";
  EXPECT_EQ(cores(cpu_slots(8), range(0, 7)), (Shares{{0}, {4}, {1}, {5}, {2}, {6}, {3}, {7}}))
      << "more ranks than physical cores";
  EXPECT_EQ(cores(cpu_slots(9), range(0, 7)), Shares(9));
}

TEST_F(CoresOfRanks, OneSocketIsDividedAmongItsGpus) {
  add_cpus(8, false);
  for (int gpu = 0; gpu < 2; ++gpu) add_gpu(gpu, "0-7");
  EXPECT_EQ(cores(gpus(0, 0), range(0, 7)), (Shares{range(0, 7)}));
  EXPECT_EQ(cores(gpus(0, 1), range(0, 7)), (Shares{range(0, 3), range(4, 7)}));
}

TEST_F(CoresOfRanks, EightGpusOnTwoSocketsStayOnTheirsAndShareNoPhysicalCore) {
  add_cpus(64, true);
  for (int gpu = 0; gpu < 8; ++gpu) add_gpu(gpu, gpu < 4 ? "0-31,64-95" : "32-63,96-127");
  const Shares shares = cores(gpus(0, 7), range(0, 127));
  for (int gpu = 0; gpu < 8; ++gpu)
    EXPECT_EQ(shares[static_cast<size_t>(gpu)],
              both(range(8 * gpu, 8 * gpu + 7), range(64 + 8 * gpu, 71 + 8 * gpu)))
        << gpu;
  // In any order, and only some of them.
  EXPECT_EQ(cores({gpus(5, 5)[0], gpus(1, 1)[0]}, range(0, 127)),
            (Shares{both(range(32, 63), range(96, 127)), both(range(0, 31), range(64, 95))}));
}

TEST_F(CoresOfRanks, OnlyWhatTheMaskAllowsIsTaken) {
  add_cpus(64, true);
  for (int gpu = 0; gpu < 8; ++gpu) add_gpu(gpu, gpu < 4 ? "0-31,64-95" : "32-63,96-127");
  const Cores allowed = both(range(28, 33), range(92, 95));
  EXPECT_EQ(cores(gpus(3, 4), allowed), (Shares{both(range(28, 31), range(92, 95)), {32, 33}}));
  EXPECT_EQ(cores(gpus(0, 1), allowed), (Shares{{28, 29, 92, 93}, {30, 31, 94, 95}}));
  EXPECT_EQ(cores(gpus(4, 7), allowed), Shares(4)) << "four ranks on two cores";
  EXPECT_EQ(cores(gpus(4, 4), range(0, 31)), Shares(1)) << "nothing of it is allowed";
}

TEST_F(CoresOfRanks, WhatSysfsDoesNotSayIsNotPinned) {
  add_cpus(4, false);
  add_gpu(0, "");
  add_gpu(1, "none");
  add_gpu(3, "0-3");
  EXPECT_EQ(cores(gpus(0, 3), range(0, 3)), (Shares{{}, {}, {}, range(0, 3)}));
  EXPECT_EQ(cores({{"gpu:0", "GPU-0", ""}}, range(0, 3)), Shares(1)) << "its place is not known";
  EXPECT_EQ(cores({{"gpu:3", "GPU-3", "0000:0d:00.0"}}, range(0, 3)), Shares{range(0, 3)})
      << "as CUDA writes";
}

TEST_F(CoresOfRanks, InstancesOfOneGpuShareItsCores) {
  add_cpus(4, false);
  add_gpu(0, "0-3");
  EXPECT_EQ(cores({{"gpu:0", "MIG-a", pci(0)}, {"gpu:1", "MIG-b", pci(0)}}, range(0, 3)),
            (Shares{{0, 1}, {2, 3}}));
}

}  // namespace
}  // namespace saemill
