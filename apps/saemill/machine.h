// What the commands that look at this machine share: where its store lies, and how to sample it.
#pragma once

#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>

#include "control/monitor/monitor.h"

namespace saemill {

struct MachineOptions {
  std::string data = "";      // empty: data_folder()
  int cpu_slots = -1;         // as in MonitorOptions
  double patience = 60;       // seconds for the driver's first word; it starts for 1 to 3 s a GPU where
                              // persistence mode is off
  bool every_device = false;  // whatever CUDA_VISIBLE_DEVICES says
};

void add_machine_options(CLI::App& command, MachineOptions& options);

std::filesystem::path data_folder(
    const std::string& named);  // $XDG_DATA_HOME/saemill, else ~/.local/share/saemill
std::filesystem::path database_path(const std::filesystem::path& data);

// The devices of this machine, with the leases of its store where there is one.
class Machine {
 public:
  explicit Machine(const MachineOptions& options);

  // `settle`: seconds between two readings, so that what is measured over time is there. The first look says
  // on stderr that it waits for a driver that starts, and which devices CUDA_VISIBLE_DEVICES leaves.
  std::shared_ptr<const Snapshot> look(double settle = 0);
  Monitor& monitor() { return *monitor_; }

 private:
  std::shared_ptr<const Snapshot> first_look();

  double patience_;
  bool looked_ = false;
  std::unique_ptr<Database> database_;
  std::unique_ptr<Leases> leases_;
  std::string store_problem_;
  std::unique_ptr<Monitor> monitor_;
};

// CUDA_VISIBLE_DEVICES; empty: not set, so every device may be used.
std::string visible_devices_variable();

}  // namespace saemill
