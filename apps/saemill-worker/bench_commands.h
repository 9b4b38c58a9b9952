// What `saemill bench` measures, a file each.
#pragma once

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "commands.h"

namespace saemill {

void add_json_option(CLI::App& command, bool& json);
// What was measured: as one line of JSON, or as `print` has it for people. Returns the exit code.
int show(const nlohmann::ordered_json& result, bool json, void (*print)(const nlohmann::ordered_json&));

void add_bench_step(CLI::App& bench, Run& run);
void add_bench_select(CLI::App& bench, Run& run);
void add_bench_scaling(CLI::App& bench, Run& run);
void add_bench_collectives(CLI::App& bench, Run& run);
void add_bench_memory(CLI::App& bench, Run& run);
void add_bench_loader(CLI::App& bench, Run& run);

}  // namespace saemill
