// Scenarios for the fake NVML: machines of several GPUs, each with everything that it can tell (README.md).
#pragma once

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <string>

namespace saemill {

using Json = nlohmann::json;

inline std::string gpu_uuid(int index) {
  return fmt::format("GPU-{:08x}-1111-2222-3333-444444444444", index);
}

inline Json gpu_entry(int index) {
  return {
      {"uuid", gpu_uuid(index)},
      {"name", "NVIDIA H200"},
      {"pci_bus_id", fmt::format("00000000:{:02X}:00.0", 16 + index)},
      {"memory_total", 150000000000},
      {"memory_used", 1000000 * (index + 1)},
      {"memory_reserved", 600000000},
      {"utilization", index},
      {"memory_utilization", index + 1},
      {"temperature", 30 + index},
      {"power_draw", 70.5 + index},
      {"power_limit", 700},
      {"energy", 1000},
      {"fan_speed", 20 + index},
      {"clocks", {{"sm", 1980}, {"memory", 2619}}},
      {"throttle", index == 1 ? 0x44 : 0x1},
      {"pcie", {{"tx", 5000000}, {"rx", 8000000}}},
      {"nvlink", {{"tx", 20480000}, {"rx", 40960000}}},
      {"ecc",
       {{"sbe", 3},
        {"dbe", 0},
        {"remapped", {{"correctable", 1}, {"uncorrectable", 2}, {"pending", false}, {"failure", false}}}}},
      {"numa", index / 4},
      {"compute_mode", "default"},
      {"processes", Json::array()}};
}

inline Json machine_of(int gpus) {
  Json scenario{{"driver_version", "570.86.10"},
                {"nvml_version", "12.570.86"},
                {"process_struct", "v3"},
                {"gpus", Json::array()}};
  for (int i = 0; i < gpus; ++i) scenario["gpus"].push_back(gpu_entry(i));
  return scenario;
}

}  // namespace saemill
