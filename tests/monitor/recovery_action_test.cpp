// What the driver's recovery action makes of XIDs and memory errors.
#include "common/base/clock.h"
#include "control/monitor/inventory.h"
#include "control/monitor/nvml/nvml_reader.h"
#include "monitor/scenario.h"

namespace saemill {
namespace {

std::vector<Device> devices_of(nvml::Reader& reader, double seconds_later) {
  InventoryInput input;
  input.gpus.state = nvml::SessionStatus::State::answering;
  input.gpus.reading =
      std::make_shared<nvml::Reading>(reader.read(monotonic_seconds() + seconds_later, epoch_seconds()));
  return build_inventory(input);
}

// An error that was contained ends one program: the driver's recovery action says whether the GPU is well.
TEST(Nvml, TheRecoveryActionDecidesAboutXid154AndEcc) {
  FakeDriver driver;
  Json scenario = machine_of(4);
  scenario["gpus"][0]["recovery_action"] = 0;
  scenario["gpus"][1]["recovery_action"] = 2;
  scenario["events"] = {{{"at_s", 0}, {"gpu", 0}, {"xid", 94}},  {{"at_s", 0}, {"gpu", 0}, {"dbe", 1}},
                        {{"at_s", 0}, {"gpu", 0}, {"xid", 154}}, {{"at_s", 0}, {"gpu", 1}, {"xid", 154}},
                        {{"at_s", 0}, {"gpu", 2}, {"xid", 154}}, {{"at_s", 0}, {"gpu", 3}, {"xid", 63}}};
  driver.load(scenario);
  std::string why;
  nvml::Reader reader(nvml::Library::open(why));
  reader.read(monotonic_seconds(), epoch_seconds());
  auto devices = devices_of(reader, 0);
  EXPECT_EQ(devices[0].availability, Availability::free) << devices[0].reason.message;
  EXPECT_EQ(devices[0].ecc.uncorrected, 1);
  EXPECT_EQ(devices[0].last_xid, 154);
  EXPECT_EQ(devices[1].availability, Availability::unhealthy);
  EXPECT_EQ(devices[1].reason.code, "recovery_action");
  EXPECT_NE(devices[1].reason.message.find("reboot"), std::string::npos);
  EXPECT_EQ(devices[2].availability, Availability::free);  // this driver has no such field
  EXPECT_EQ(devices[3].availability, Availability::free);
  // Asked for again with the slow readings; what was done is told by the driver itself.
  scenario["gpus"][0]["recovery_action"] = 1;
  scenario["gpus"][1]["recovery_action"] = 0;
  driver.write(scenario);
  devices = devices_of(reader, 40);
  EXPECT_EQ(devices[0].reason.code, "recovery_action");
  EXPECT_EQ(devices[1].availability, Availability::free);
}

}  // namespace
}  // namespace saemill
