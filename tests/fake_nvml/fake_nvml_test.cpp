// Every case loads the library in a child process of its own: what it hides from dlsym stays hidden.
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "fake_nvml_abi.h"

namespace {

using Json = nlohmann::json;
using Clock = std::chrono::steady_clock;
namespace fs = std::filesystem;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

void sleep_ms(int milliseconds) {
  std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
}

bool eventually(const std::function<bool()>& condition) {
  for (int i = 0; i < 1000; ++i, sleep_ms(10))
    if (condition()) return true;
  return false;
}

class FakeNvml : public ::testing::Test {
 protected:
  void SetUp() override {
    char pattern[] = "/tmp/saemill_fake_nvml_XXXXXX";
    folder_ = ::mkdtemp(pattern);
  }
  void TearDown() override { fs::remove_all(folder_); }

  fs::path scenario() const { return folder_ / "scenario.json"; }

  void write(const Json& json) const { write_text(json.dump()); }
  void write_text(const std::string& text) const { std::ofstream(scenario()) << text; }

  std::string log() const {
    std::ifstream file(folder_ / "log");
    return {std::istreambuf_iterator<char>(file), {}};
  }

  // Runs `body` with the library loaded; its failed expectations fail this test.
  void in_child(const std::function<void()>& body, bool with_scenario = true) {
    const pid_t child = ::fork();
    if (child == 0) {
      if (with_scenario) ::setenv("FAKE_NVML_SCENARIO", scenario().c_str(), 1);
      library_ = ::dlopen(FAKE_NVML_LIBRARY, RTLD_NOW | RTLD_LOCAL);
      EXPECT_TRUE(library_) << ::dlerror();
      if (library_) body();
      ::_exit(HasFailure());
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << "status of the child: " << status;
  }

  template <class... Arguments>
  nvmlReturn_t call(const char* symbol, Arguments... arguments) const {
    const auto function = reinterpret_cast<nvmlReturn_t (*)(Arguments...)>(::dlsym(library_, symbol));
    return function ? function(arguments...) : 9999;
  }

  nvmlDevice_t device(unsigned index) const {
    nvmlDevice_t handle = nullptr;
    EXPECT_EQ(call("nvmlDeviceGetHandleByIndex_v2", index, &handle), NVML_SUCCESS);
    return handle;
  }

  void initialize() const { EXPECT_EQ(call("nvmlInit_v2"), NVML_SUCCESS); }

  fs::path folder_;
  void* library_ = nullptr;
};

Json one_gpu(const Json& properties) {
  Json gpu{{"uuid", "GPU-a"}, {"name", "NVIDIA H200"}, {"pci_bus_id", "00000000:17:00.0"}};
  gpu.update(properties);
  return {{"gpus", {gpu}}};
}

TEST_F(FakeNvml, NoDriverWithoutAScenario) {
  in_child(
      [&] {
        EXPECT_EQ(call("nvmlInit_v2"), NVML_ERROR_DRIVER_NOT_LOADED);
        EXPECT_EQ(call("nvmlShutdown"), NVML_ERROR_UNINITIALIZED);
      },
      false);
}

// How many bytes of a buffer of 0xEE the call wrote.
size_t extent(const std::vector<unsigned char>& buffer) {
  size_t end = buffer.size();
  while (end > 0 && buffer[end - 1] == 0xEE) --end;
  return end;
}

TEST_F(FakeNvml, ProcessesAreOfTheDriversLayout) {
  Json json = one_gpu({{"processes", Json::parse(R"([{"pid": 11, "memory_used": 100},
      {"pid": 12, "memory_used": null}, {"pid": 13, "type": "graphics"}])")}});
  for (const auto& [layout, size] : {std::pair("v3", 24U), std::pair("535", 32U)}) {
    json["process_struct"] = layout;
    write(json);
    in_child([&, stride = size] {
      initialize();
      const auto gpu = device(0);
      unsigned count = 0;
      const auto ask = "nvmlDeviceGetComputeRunningProcesses_v3";
      EXPECT_EQ(call(ask, gpu, &count, static_cast<void*>(nullptr)), NVML_ERROR_INSUFFICIENT_SIZE);
      EXPECT_EQ(count, 2U);
      std::vector<unsigned char> buffer(256, 0xEE);
      count = 8;
      EXPECT_EQ(call(ask, gpu, &count, static_cast<void*>(buffer.data())), NVML_SUCCESS);
      EXPECT_EQ(count, 2U);
      // The last field of the shorter entry is all ones: no instance.
      EXPECT_EQ(extent(buffer), 2 * stride);
      nvmlProcessInfo_v2_t second;
      std::memcpy(&second, buffer.data() + stride, sizeof second);
      EXPECT_EQ(second.pid, 12U);
      EXPECT_EQ(second.usedGpuMemory, NVML_VALUE_NOT_AVAILABLE);
      EXPECT_EQ(second.computeInstanceId, ~0U);
      std::fill(buffer.begin(), buffer.end(), 0xEE);
      const auto shorter = "nvmlDeviceGetComputeRunningProcesses_v2";
      EXPECT_EQ(call(shorter, gpu, &count, static_cast<void*>(buffer.data())), NVML_SUCCESS);
      EXPECT_EQ(extent(buffer), 48U);
    });
  }
}

TEST_F(FakeNvml, MissingSymbolsAreAbsent) {
  Json json = one_gpu({{"fan_speed", 30}, {"temperature", 50}});
  json["missing"] = {"nvmlDeviceGetTemperatureV", "nvmlDeviceGetMemoryInfo_v2"};
  write(json);
  in_child([&] {
    EXPECT_FALSE(::dlsym(library_, "nvmlDeviceGetTemperatureV"));
    EXPECT_FALSE(::dlsym(library_, "nvmlDeviceGetMemoryInfo_v2"));
    EXPECT_TRUE(::dlsym(library_, "nvmlDeviceGetMemoryInfo"));
    initialize();
    unsigned value = 0;
    EXPECT_EQ(call("nvmlDeviceGetTemperature", device(0), 0U, &value), NVML_SUCCESS);
    EXPECT_EQ(value, 50U);
    json["missing"] = {"nvmlDeviceGetFanSpeed"};
    write(json);
    EXPECT_EQ(call("nvmlDeviceGetFanSpeed", device(0), &value), NVML_ERROR_FUNCTION_NOT_FOUND);
  });
}

TEST_F(FakeNvml, WhatAGpuDoesNotHaveIsNotSupported) {
  write(one_gpu({{"fan_speed", 30},
                 {"power_draw", 350.5},
                 {"pcie", {{"tx", 1}}},
                 {"not_supported", {"fan_speed", "pcie", "nvmlDeviceGetComputeMode"}},
                 {"errors", {{"nvmlDeviceGetPersistenceMode", 4}}}}));
  in_child([&] {
    initialize();
    const auto gpu = device(0);
    unsigned value = 0;
    EXPECT_EQ(call("nvmlDeviceGetFanSpeed", gpu, &value), NVML_ERROR_NOT_SUPPORTED);
    EXPECT_EQ(call("nvmlDeviceGetComputeMode", gpu, &value), NVML_ERROR_NOT_SUPPORTED);
    EXPECT_EQ(call("nvmlDeviceGetTemperature", gpu, 0U, &value), NVML_ERROR_NOT_SUPPORTED);
    EXPECT_EQ(call("nvmlDeviceGetPersistenceMode", gpu, &value), 4U);
    EXPECT_EQ(call("nvmlDeviceGetPowerUsage", gpu, static_cast<unsigned*>(nullptr)),
              NVML_ERROR_INVALID_ARGUMENT);
    EXPECT_EQ(call("nvmlDeviceGetPowerUsage", gpu, &value), NVML_SUCCESS);
    EXPECT_EQ(value, 350500U);
    nvmlFieldValue_t field{NVML_FI_DEV_PCIE_COUNT_TX_BYTES, 0, 0, 0, 0, 0, {}};
    EXPECT_EQ(call("nvmlDeviceGetFieldValues", gpu, 1, &field), NVML_SUCCESS);
    EXPECT_EQ(field.nvmlReturn, NVML_ERROR_NOT_SUPPORTED);
  });
}

TEST_F(FakeNvml, MemoryOfBothVersions) {
  write(one_gpu({{"memory_total", 1000}, {"memory_used", 200}, {"memory_reserved", 50}}));
  in_child([&] {
    initialize();
    nvmlMemory_t first{};
    EXPECT_EQ(call("nvmlDeviceGetMemoryInfo", device(0), &first), NVML_SUCCESS);
    EXPECT_EQ(first.used, 250U);
    EXPECT_EQ(first.free, 750U);
    nvmlMemory_v2_t second{};
    EXPECT_EQ(call("nvmlDeviceGetMemoryInfo_v2", device(0), &second), NVML_ERROR_ARGUMENT_VERSION_MISMATCH);
    second.version = NVML_MEMORY_V2;
    EXPECT_EQ(call("nvmlDeviceGetMemoryInfo_v2", device(0), &second), NVML_SUCCESS);
    EXPECT_EQ(second.used, 200U);
    EXPECT_EQ(second.reserved, 50U);
    EXPECT_EQ(second.free, 750U);
  });
}

TEST_F(FakeNvml, ALostGpuIsCountedAndARemovedOneIsNot) {
  write(Json::parse(R"({"gpus": [{"uuid": "GPU-a", "fan_speed": 1}, {"uuid": "GPU-b", "fan_speed": 2}],
      "events": [{"at_s": 0.3, "gpu": 0, "lost": true}, {"at_s": 1, "gpu": 0, "recovered": true},
                 {"at_s": 2, "gpu": 0, "removed": true}]})"));
  in_child([&] {
    initialize();
    const auto gpu = device(0);
    unsigned value = 0;
    unsigned count = 0;
    const auto wait_for = [&](nvmlReturn_t result) {
      return eventually([&] { return call("nvmlDeviceGetFanSpeed", gpu, &value) == result; });
    };
    EXPECT_TRUE(wait_for(NVML_SUCCESS));
    EXPECT_TRUE(wait_for(NVML_ERROR_GPU_IS_LOST));
    EXPECT_EQ(call("nvmlDeviceGetFanSpeed", device(1), &value), NVML_SUCCESS);
    call("nvmlDeviceGetCount_v2", &count);
    EXPECT_EQ(count, 2U);
    EXPECT_TRUE(wait_for(NVML_SUCCESS));
    EXPECT_TRUE(wait_for(NVML_ERROR_GPU_IS_LOST));
    call("nvmlDeviceGetCount_v2", &count);
    EXPECT_EQ(count, 1U);
    EXPECT_EQ(call("nvmlDeviceGetFanSpeed", device(0), &value), NVML_SUCCESS);
    EXPECT_EQ(value, 2U);
  });
}

TEST_F(FakeNvml, AnXidIsDeliveredOnce) {
  Json json = one_gpu({{"ecc", {{"dbe", 1}}}});
  json["log"] = folder_ / "log";
  json["events"] = Json::parse(R"([{"at_s": 0.2, "gpu": 0, "xid": 79}, {"at_s": 0.3, "gpu": 0, "dbe": 2}])");
  write(json);
  in_child([&] {
    initialize();
    const auto gpu = device(0);
    nvmlEventSet_t set = nullptr;
    EXPECT_EQ(call("nvmlEventSetCreate", &set), NVML_SUCCESS);
    EXPECT_EQ(call("nvmlDeviceRegisterEvents", gpu, std::uint64_t{10}, set), NVML_SUCCESS);
    nvmlEventData_t event{};
    EXPECT_EQ(call("nvmlEventSetWait_v2", set, &event, 5000U), NVML_SUCCESS);
    EXPECT_EQ(event.device, gpu);
    EXPECT_EQ(event.eventType, NVML_EVENT_XID_CRITICAL);
    EXPECT_EQ(event.eventData, 79U);
    EXPECT_EQ(call("nvmlEventSetWait_v2", set, &event, 5000U), NVML_SUCCESS);
    EXPECT_EQ(event.eventType, NVML_EVENT_DOUBLE_BIT_ECC);
    std::uint64_t errors = 0;
    EXPECT_EQ(call("nvmlDeviceGetTotalEccErrors", gpu, 1U, 0U, &errors), NVML_SUCCESS);
    EXPECT_EQ(errors, 3U);
    json["driver_version"] = "1.0";
    write(json);
    EXPECT_EQ(call("nvmlEventSetWait_v2", set, &event, 30U), NVML_ERROR_TIMEOUT);
    EXPECT_EQ(call("nvmlEventSetFree", set), NVML_SUCCESS);
    EXPECT_EQ(call("nvmlEventSetWait_v2", set, &event, 0U), NVML_ERROR_INVALID_ARGUMENT);
  });
  EXPECT_NE(log().find("nvmlInit_v2\n"), std::string::npos);
  EXPECT_NE(log().find("nvmlEventSetWait_v2 5000\n"), std::string::npos);
}

TEST_F(FakeNvml, AHangBlocksNoOtherThread) {
  Json json = one_gpu({{"fan_speed", 30}, {"temperature", 50}});
  json["events"] = Json::parse(R"([{"at_s": 0, "gpu": 0, "hang_s": 2, "call": "nvmlDeviceGetFanSpeed"}])");
  json["log"] = folder_ / "log";
  write(json);
  in_child([&] {
    initialize();
    const auto gpu = device(0);
    const auto start = Clock::now();
    double hung = 0;
    std::thread other([&] {
      unsigned value = 0;
      EXPECT_EQ(call("nvmlDeviceGetFanSpeed", gpu, &value), NVML_SUCCESS);
      hung = seconds_since(start);
    });
    EXPECT_TRUE(eventually([&] { return log().find("GetFanSpeed") != std::string::npos; }));
    sleep_ms(50);
    unsigned value = 0;
    EXPECT_EQ(call("nvmlDeviceGetTemperature", gpu, 0U, &value), NVML_SUCCESS);
    EXPECT_EQ(call("nvmlDeviceGetFanSpeed", gpu, &value), NVML_SUCCESS);
    EXPECT_LT(seconds_since(start), 1.8);
    other.join();
    EXPECT_GE(hung, 2.0);
  });
}

TEST_F(FakeNvml, DelaysAreOfEveryCall) {
  Json json = one_gpu({{"temperature", 50}});
  json["delays_ms"] = {{"nvmlDeviceGetTemperature", 100}};
  write(json);
  in_child([&] {
    initialize();
    const auto gpu = device(0);
    const auto start = Clock::now();
    unsigned value = 0;
    for (int i = 0; i < 3; ++i) EXPECT_EQ(call("nvmlDeviceGetTemperature", gpu, 0U, &value), NVML_SUCCESS);
    EXPECT_GE(seconds_since(start), 0.3);
    json.erase("delays_ms");
    write(json);
    const auto after = Clock::now();
    EXPECT_EQ(call("nvmlDeviceGetTemperature", gpu, 0U, &value), NVML_SUCCESS);
    EXPECT_LT(seconds_since(after), 0.1);
  });
}

TEST_F(FakeNvml, TheFileIsReadAgainWhenItChanges) {
  write(one_gpu({{"temperature", 50}, {"energy", 1e6}, {"power_draw", 1000}}));
  in_child([&] {
    initialize();
    const auto gpu = device(0);
    unsigned value = 0;
    const auto temperature = [&] {
      EXPECT_EQ(call("nvmlDeviceGetTemperature", gpu, 0U, &value), NVML_SUCCESS);
      return value;
    };
    EXPECT_EQ(temperature(), 50U);
    write_text("{\"gpus\": [");
    EXPECT_EQ(temperature(), 50U);
    sleep_ms(100);
    write(one_gpu({{"temperature", 61}, {"energy", 1e6}}));
    EXPECT_EQ(temperature(), 61U);
    // The energy of the time before stays, and no more comes.
    std::uint64_t energy[2] = {};
    EXPECT_EQ(call("nvmlDeviceGetTotalEnergyConsumption", gpu, &energy[0]), NVML_SUCCESS);
    EXPECT_EQ(call("nvmlDeviceGetTotalEnergyConsumption", gpu, &energy[1]), NVML_SUCCESS);
    EXPECT_GE(energy[0], 1'000'100'000U);
    EXPECT_EQ(energy[0], energy[1]);
    fs::remove(scenario());
    EXPECT_EQ(temperature(), 61U);
  });
}

TEST_F(FakeNvml, MigInstances) {
  write(one_gpu({{"utilization", 10},
                 {"mig", Json::parse(R"([{"uuid": "MIG-a", "gpu_instance_id": 3, "compute_instance_id": 1,
      "memory_total": 500, "processes": [{"pid": 5, "memory_used": 7}]}])")}}));
  in_child([&] {
    initialize();
    nvmlDevice_t mig = nullptr;
    EXPECT_EQ(call("nvmlDeviceGetMigDeviceHandleByIndex", device(0), 1U, &mig), NVML_ERROR_NOT_FOUND);
    EXPECT_EQ(call("nvmlDeviceGetMigDeviceHandleByIndex", device(0), 0U, &mig), NVML_SUCCESS);
    char uuid[80] = "";
    EXPECT_EQ(call("nvmlDeviceGetUUID", mig, &uuid[0], 80U), NVML_SUCCESS);
    EXPECT_STREQ(uuid, "MIG-a");
    unsigned value = 0;
    EXPECT_EQ(call("nvmlDeviceGetGpuInstanceId", mig, &value), NVML_SUCCESS);
    EXPECT_EQ(value, 3U);
    EXPECT_EQ(call("nvmlDeviceGetPowerUsage", mig, &value), NVML_ERROR_NOT_SUPPORTED);
    nvmlUtilization_t rates{};
    EXPECT_EQ(call("nvmlDeviceGetUtilizationRates", device(0), &rates), NVML_ERROR_NOT_SUPPORTED);
    unsigned count = 1;
    nvmlProcessInfo_v2_t process{};
    EXPECT_EQ(call("nvmlDeviceGetComputeRunningProcesses_v3", mig, &count, static_cast<void*>(&process)),
              NVML_SUCCESS);
    EXPECT_EQ(process.gpuInstanceId, 3U);
  });
}

TEST_F(FakeNvml, Topology) {
  write(Json::parse(R"({"gpus": [
      {"uuid": "GPU-a", "pcie_switch": 1, "nvlink_links": [{"to": 1}, {"to": "switch"}]},
      {"uuid": "GPU-b", "pcie_switch": 1, "pci_bus_id": "00000000:3D:00.0"}, {"uuid": "GPU-c"},
      {"uuid": "GPU-d", "numa": 1}]})"));
  in_child([&] {
    initialize();
    const auto gpu = device(0);
    const unsigned levels[] = {0, 10, 30, 50};
    for (unsigned i = 0; i < 4; ++i) {
      unsigned level = 99;
      EXPECT_EQ(call("nvmlDeviceGetTopologyCommonAncestor", gpu, device(i), &level), NVML_SUCCESS);
      EXPECT_EQ(level, levels[i]);
    }
    nvmlPciInfo_t pci{};
    EXPECT_EQ(call("nvmlDeviceGetNvLinkRemotePciInfo_v2", gpu, 0U, &pci), NVML_SUCCESS);
    EXPECT_STREQ(pci.busId, "00000000:3D:00.0");
    EXPECT_STREQ(pci.busIdLegacy, "0000:3D:00.0");
    EXPECT_EQ(pci.bus, 0x3DU);
    unsigned value = 0;
    EXPECT_EQ(call("nvmlDeviceGetNvLinkRemoteDeviceType", gpu, 1U, &value), NVML_SUCCESS);
    EXPECT_EQ(value, 2U);
    EXPECT_EQ(call("nvmlDeviceGetNvLinkState", gpu, 2U, &value), NVML_ERROR_NOT_SUPPORTED);
    EXPECT_EQ(call("nvmlDeviceGetNvLinkState", device(1), 0U, &value), NVML_ERROR_NOT_SUPPORTED);
  });
}

}  // namespace
