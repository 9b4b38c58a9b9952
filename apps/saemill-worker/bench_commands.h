// What `saemill bench` measures, a file each.
#pragma once

#include <CLI/CLI.hpp>

#include "commands.h"

namespace saemill {

void add_bench_step(CLI::App& bench, Run& run);
void add_bench_scaling(CLI::App& bench, Run& run);
void add_bench_collectives(CLI::App& bench, Run& run);
void add_bench_memory(CLI::App& bench, Run& run);
void add_bench_loader(CLI::App& bench, Run& run);

}  // namespace saemill
