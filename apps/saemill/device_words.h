// Where a training is to run, as options of the commands that put one into its place.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

namespace saemill {

struct AskedPlace {
  std::string devices;
  int64_t count = 0, priority = -1;  // 0, -1: not given
  bool is_given() const { return !devices.empty() || count > 0 || priority >= 0; }
};

void add_place_options(CLI::App& command, AskedPlace& place);            // --devices, --count
CLI::Option* add_priority_option(CLI::App& command, AskedPlace& place);  // --priority
void add_place(nlohmann::json& body, const AskedPlace& place);           // of a request; what is given

// "gpu:0,1" or "cpu:0-3" of a training that has devices, "2 any" or what it asks for of one that has none.
std::string devices_of(const nlohmann::ordered_json& training);

}  // namespace saemill
