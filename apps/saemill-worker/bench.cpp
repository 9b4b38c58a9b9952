#include "bench_commands.h"

namespace saemill {

void add_bench(CLI::App& app, Run& run) {
  CLI::App* bench = app.add_subcommand("bench", "Measures this machine");
  bench->require_subcommand(1);
  for (const auto add :
       {add_bench_step, add_bench_scaling, add_bench_collectives, add_bench_memory, add_bench_loader})
    add(*bench, run);
}

}  // namespace saemill
