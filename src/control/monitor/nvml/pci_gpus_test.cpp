// What the PCI bus tells of GPUs.
#include "control/monitor/nvml/pci_gpus.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

namespace saemill::nvml {
namespace {

namespace fs = std::filesystem;

TEST(PciGpus, AreNvidiasThatDrawOrCompute) {
  const fs::path bus = fs::temp_directory_path() / ("pci_gpus_" + std::to_string(::getpid()));
  const auto add = [&](const char* id, const char* vendor, const char* kind) {
    fs::create_directories(bus / id);
    std::ofstream(bus / id / "vendor") << vendor << "\n";
    std::ofstream(bus / id / "class") << kind << "\n";
  };
  EXPECT_TRUE(may_have_gpu(bus)) << "nobody knows";
  fs::create_directories(bus);
  EXPECT_FALSE(may_have_gpu(bus));
  add("0000:00:02.0", "0x1002", "0x030000");  // another maker's
  add("0000:01:00.1", "0x10de", "0x040300");  // the sound of a graphics card
  add("0000:05:00.0", "0x10de", "0x068000");  // an NVSwitch
  EXPECT_FALSE(may_have_gpu(bus));
  add("0000:1b:00.0", "0x10de", "0x030200");
  EXPECT_TRUE(may_have_gpu(bus));
  fs::remove_all(bus);
}

}  // namespace
}  // namespace saemill::nvml
