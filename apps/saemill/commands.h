// The commands of saemill, a file per command.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>
#include <vector>

namespace saemill {

using Command = std::function<int()>;  // returns the exit code

// Adds the command to `app`; sets `chosen` if the command line names it.
void add_train(CLI::App& app, Command& chosen);
void add_estimate(CLI::App& app, Command& chosen);
void add_gpus(CLI::App& app, Command& chosen);
void add_doctor(CLI::App& app, Command& chosen);
void add_serve(CLI::App& app, Command& chosen);
void add_login(CLI::App& app, Command& chosen);
// Of the server's trainings.
void add_submit(CLI::App& app, Command& chosen);
void add_ps(CLI::App& app, Command& chosen);
void add_logs(CLI::App& app, Command& chosen);
void add_training_actions(CLI::App& app, Command& chosen);  // pause, resume, ...
void add_rm(CLI::App& app, Command& chosen);
void add_download(CLI::App& app, Command& chosen);

// Commands that saemill-worker does. They are listed for --help, and executed with their arguments as they
// are.
void add_worker_commands(CLI::App& app);
bool is_worker_command(const std::string& name);
[[noreturn]] void execute_worker(const std::vector<std::string>& arguments);  // arguments[0] is the command

}  // namespace saemill
