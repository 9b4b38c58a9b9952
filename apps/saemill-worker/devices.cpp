// saemill-worker devices: which GPUs this program can use, without taking anything of them.
#include <fmt/format.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "commands.h"
#include "engine/gpu/runtime.h"

namespace saemill {
namespace {

int list_devices() {
  nlohmann::ordered_json gpus = nlohmann::ordered_json::array();
  const std::string problem = gpu::unavailable();
  if (problem.empty())
    for (const gpu::Device& device : gpu::devices())
      gpus.push_back(
          {{"uuid", device.uuid},
           {"name", device.name},
           {"compute_capability", fmt::format("{}.{}", device.capability_major, device.capability_minor)},
           {"memory_total", device.memory_bytes},
           {"driver_version", device.driver_version}});
  std::printf("%s\n", nlohmann::ordered_json{{"problem", problem}, {"gpus", gpus}}.dump().c_str());
  return 0;
}

}  // namespace

void add_devices(CLI::App& app, Run& run) {
  CLI::App* command = app.add_subcommand("devices", "The GPUs that this program can use");
  static bool json = false;
  command->add_flag("--json", json, "{problem, gpus[]} on one line, which is all there is");
  command->callback([&run] { run = list_devices; });
}

}  // namespace saemill
