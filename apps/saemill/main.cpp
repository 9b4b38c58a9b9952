// saemill: what a person types. Parses, wires, runs; the only place that turns an error into an exit code.
#include <stdlib.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <exception>

#include "commands.h"
#include "common/base/error.h"
#include "common/base/version.h"

namespace {

using saemill::ErrorCode;

void say(const char* message) {
  std::fprintf(stderr, "saemill: %s\n", message);
}

int run(CLI::App& app, int argc, char** argv) {
  if (argc > 1 && saemill::is_worker_command(argv[1])) saemill::execute_worker({argv + 1, argv + argc});
  saemill::Command chosen;
  app.require_subcommand(1);
  saemill::add_train(app, chosen);
  saemill::add_estimate(app, chosen);
  saemill::add_gpus(app, chosen);
  saemill::add_doctor(app, chosen);
  saemill::add_serve(app, chosen);
  saemill::add_login(app, chosen);
  saemill::add_submit(app, chosen);
  saemill::add_ps(app, chosen);
  saemill::add_logs(app, chosen);
  saemill::add_training_actions(app, chosen);
  saemill::add_rm(app, chosen);
  saemill::add_download(app, chosen);
  saemill::add_worker_commands(app);
  const auto commands = app.get_subcommands([](CLI::App*) { return true; });
  const auto named = [&](const CLI::App* command) { return command->get_name() == argv[1]; };
  if (argc > 1 && argv[1][0] != '-' && std::none_of(commands.begin(), commands.end(), named)) {
    saemill::fail(ErrorCode::usage, "'{}' is not a command; `saemill --help` lists those that are", argv[1]);
  }
  app.parse(argc, argv);
  return chosen();
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("saemill trains sparse autoencoders on language-model activations.", "saemill");
  app.set_version_flag("--version", std::string("saemill ") + saemill::kVersion, "Print the version");
  app.footer(
      "Exit codes: 0 done, 64 usage, 65 bad data, 70 a bug of saemill, 75 worth a restart, 78 bad "
      "configuration,\n"
      "130 cancelled. `saemill COMMAND --help` says more.");
  app.failure_message([](const CLI::App*, const CLI::Error& error) {
    return std::string("saemill: ") + error.what() + "; `saemill --help` lists what is accepted\n";
  });
  ::setenv(saemill::kStartedByVersion, saemill::kVersion, 1);
  try {
    return run(app, argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0
                                : static_cast<int>(ErrorCode::usage);  // --help and --version end here too
  } catch (const saemill::Error& error) {
    say(error.what());
    return error.exit_code();
  } catch (const std::exception& error) {
    say(error.what());
    return static_cast<int>(ErrorCode::internal);
  }
}
