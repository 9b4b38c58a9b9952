#include <cstdio>

#include "bench_commands.h"

namespace saemill {

void add_json_option(CLI::App& command, bool& json) {
  command.add_flag("--json", json, "One JSON object on one line");
}

int show(const nlohmann::ordered_json& result, bool json, void (*print)(const nlohmann::ordered_json&)) {
  if (json)
    std::printf("%s\n", result.dump().c_str());
  else
    print(result);
  return 0;
}

void add_bench(CLI::App& app, Run& run) {
  CLI::App* bench = app.add_subcommand("bench", "Measures this machine");
  bench->require_subcommand(1);
  for (const auto add : {add_bench_step, add_bench_select, add_bench_scaling, add_bench_collectives,
                         add_bench_memory, add_bench_loader})
    add(*bench, run);
}

}  // namespace saemill
