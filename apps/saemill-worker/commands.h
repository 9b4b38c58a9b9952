// The commands of saemill-worker, a file each. They parse, build, wire and run; what they return is the exit
// code.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>

namespace saemill {

using Run = std::function<int()>;

// Each adds its subcommand; `run` is set when it is chosen.
void add_train(CLI::App& app, Run& run);
void add_eval(CLI::App& app, Run& run);
void add_inspect(CLI::App& app, Run& run);
void add_checkpoints(CLI::App& app, Run& run);
void add_devices(CLI::App& app, Run& run);
void add_probe(CLI::App& app, Run& run);
void add_bench(CLI::App& app, Run& run);

}  // namespace saemill
