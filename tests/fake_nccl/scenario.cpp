#include "scenario.h"

#include <nlohmann/json.hpp>
#include <stdexcept>

namespace fake_nccl {

Scenario parse_scenario(const std::string& text) {
  Scenario scenario;
  const nlohmann::json json = nlohmann::json::parse(text);
  for (const auto& [key, value] : json.items()) {
    if (key == "log") {
      scenario.log = value.get<std::string>();
    } else if (key == "rank") {
      scenario.rank = value.get<int>();
    } else if (key == "init" && value == "hangs") {
      scenario.init_hangs = true;
    } else if (key == "refused_at") {
      scenario.refused_at = value.get<int>();
    } else if (key == "async_error_at") {
      scenario.async_error_at = value.get<int>();
    } else if (key == "stuck_at") {
      scenario.stuck_at = value.get<int>();
    } else if (key == "abort_seconds") {
      scenario.abort_seconds = value.get<double>();
    } else {
      throw std::runtime_error("fake_nccl: unknown entry '" + key + "' in the scenario");
    }
  }
  return scenario;
}

}  // namespace fake_nccl
