#include "control/monitor/visible_devices.h"

#include <gtest/gtest.h>

#include "control/monitor/inventory.h"

namespace saemill {
namespace {

// Three GPUs, of which the driver names the last on the bus first; the second is divided; a CPU slot.
std::vector<Device> machine() {
  const auto device = [](DeviceKind kind, const char* uuid, const char* bus) {
    Device made;
    made.kind = kind, made.uuid = uuid, made.name = "NVIDIA H200", made.pci_bus_id = bus;
    made.processes.emplace();
    return made;
  };
  std::vector<Device> devices{device(DeviceKind::gpu, "GPU-cccc3333", "00000000:e0:00.0"),
                              device(DeviceKind::gpu, "GPU-aaaa1111", "00000000:10:00.0"),
                              device(DeviceKind::mig, "MIG-1", "00000000:10:00.0"),
                              device(DeviceKind::mig, "MIG-2", "00000000:10:00.0"),
                              device(DeviceKind::gpu, "GPU-aaaa2222", "00000000:20:00.0"),
                              device(DeviceKind::cpu, "CPU-here-0", "")};
  devices[1].mig_parent = true;
  devices[2].parent_uuid = devices[3].parent_uuid = "GPU-aaaa1111";
  return devices;
}

// "acd": the places that are left, as letters.
std::string left(const std::string& list) {
  const auto visible = visible_devices(machine(), list);
  std::string letters;
  for (size_t i = 0; i < visible.size(); ++i)
    if (visible[i]) letters += static_cast<char>('a' + i);
  return letters;
}

TEST(VisibleDevices, AreReadAsCudaDoes) {
  EXPECT_EQ(left(""), "abcdef");
  EXPECT_EQ(left("0"), "bcdf");  // the first on the bus, with its instances
  EXPECT_EQ(left("2,1"), "aef");
  EXPECT_EQ(left(" 1 , 2"), "aef");
  EXPECT_EQ(left("GPU-aaaa2222"), "ef");
  EXPECT_EQ(left("GPU-cc,1"), "aef");
  EXPECT_EQ(left("MIG-2"), "df");
  EXPECT_EQ(left("GPU-aaaa1111"), "bcdf");
}

TEST(VisibleDevices, TheListEndsAtItsFirstInvalidEntry) {
  EXPECT_EQ(left("-1"), "f");
  EXPECT_EQ(left("NoDevFiles"), "f");
  EXPECT_EQ(left("1,-1,2"), "ef");
  EXPECT_EQ(left("1,9,2"), "ef");
  EXPECT_EQ(left("1,,2"), "ef");
  EXPECT_EQ(left("1,2x"), "ef");
  EXPECT_EQ(left("1,GPU-dead"), "ef");
  EXPECT_EQ(left("1,GPU-aaaa,2"), "ef");  // it could be either
  EXPECT_EQ(left("1,2,1"), "f");          // named twice: CUDA shows none
}

TEST(VisibleDevices, WithoutPlacesOnTheBusTheDriversOrderCounts) {
  auto devices = machine();
  devices[4].pci_bus_id.reset();
  const auto visible = visible_devices(devices, "0");
  EXPECT_TRUE(visible[0]);
  EXPECT_FALSE(visible[1]);
}

TEST(VisibleDevices, OthersAreProhibitedWithTheReason) {
  InventoryInput input;
  auto reading = std::make_shared<nvml::Reading>();
  reading->devices = machine();
  reading->devices.pop_back();
  reading->devices[0].lost = Reason{"lost", "gone"};
  input.gpus.reading = reading;
  input.visible = "1";
  const auto devices = build_inventory(input);
  EXPECT_EQ(devices[0].availability, Availability::lost);  // that is told first
  EXPECT_FALSE(counts_as_gpu(devices[0]));
  EXPECT_EQ(devices[2].availability, Availability::prohibited);
  EXPECT_EQ(devices[2].reason.code, "not_visible");
  EXPECT_EQ(devices[2].reason.message, "it is not among CUDA_VISIBLE_DEVICES=1");
  EXPECT_EQ(devices[4].availability, Availability::free);
  EXPECT_TRUE(counts_as_gpu(devices[4]));
}

}  // namespace
}  // namespace saemill
