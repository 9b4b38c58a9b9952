#include "machine.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <utility>

namespace saemill {

void add_machine_options(CLI::App& command, MachineOptions& options) {
  command
      .add_option("--data", options.data, "Where the server keeps its data; default: $XDG_DATA_HOME/saemill")
      ->type_name("DIR");
  command
      .add_option("--cpu-slots", options.cpu_slots,
                  "CPU slots to show; default: one per core where there is no GPU, else none")
      ->check(CLI::Range(0, 1024))
      ->type_name("N");
}

std::filesystem::path data_folder(const std::string& named) {
  if (!named.empty()) return named;
  const auto from = [](const char* name) {
    const char* value = std::getenv(name);
    return std::string(value != nullptr ? value : "");
  };
  if (const std::string base = from("XDG_DATA_HOME"); !base.empty())
    return std::filesystem::path(base) / "saemill";
  const std::string home = from("HOME");
  return std::filesystem::path(home.empty() ? "/tmp" : home) / ".local/share/saemill";
}

std::filesystem::path database_path(const std::filesystem::path& data) {
  return data / "saemill.db";
}

namespace {

constexpr double kSoon = 2;  // seconds that need no word

bool is_starting(const DriverState& driver) {
  return driver.read_at == 0 && gpus_unknown(driver);
}

void say_what_is_left(const Snapshot& snapshot) {
  std::string left, why;
  for (const Device& device : snapshot.devices) {
    if (counts_as_gpu(device)) left += (left.empty() ? "" : ", ") + short_name(snapshot.devices, device);
    if (!device.left_out.empty()) why = device.left_out;
  }
  if (!why.empty())
    std::fprintf(stderr, "saemill: %s: of this machine's GPUs %s\n", why.c_str(),
                 left.empty() ? "none may be used" : ("only " + left + " may be used").c_str());
}

}  // namespace

Machine::Machine(const MachineOptions& options) : patience_(options.patience) {
  const auto data = data_folder(options.data);
  MonitorOptions monitor;
  monitor.cpu_slots = options.cpu_slots;
  if (!options.every_device) monitor.visible_devices = visible_devices_variable();
  monitor.data = std::filesystem::exists(data) ? data : std::filesystem::current_path();
  if (std::filesystem::exists(database_path(data))) {
    try {
      database_ = std::make_unique<Database>("sqlite:" + database_path(data).string(), 1);
      leases_ = std::make_unique<Leases>(*database_);
      monitor.leases = leases_.get();
    } catch (const std::exception& error) {
      store_problem_ = error.what();  // the devices can be shown without it
    }
  }
  monitor_ = std::make_unique<Monitor>(std::move(monitor));
}

std::shared_ptr<const Snapshot> Machine::first_look() {
  auto snapshot = monitor_->sample_now(std::min(kSoon, patience_));
  if (is_starting(snapshot->driver) && patience_ > kSoon) {
    std::fprintf(stderr, "saemill: waiting for the NVIDIA driver, at most %.0f s ...\n", patience_);
    snapshot = monitor_->sample_now(patience_ - kSoon);
  }
  say_what_is_left(*snapshot);
  return snapshot;
}

std::shared_ptr<const Snapshot> Machine::look(double settle) {
  auto snapshot = std::exchange(looked_, true) ? monitor_->sample_now() : first_look();
  if (settle > 0) {
    std::this_thread::sleep_for(std::chrono::duration<double>(settle));
    snapshot = monitor_->sample_now();
  }
  if (store_problem_.empty()) return snapshot;
  auto told = std::make_shared<Snapshot>(*snapshot);
  told->store_problem = store_problem_;
  return told;
}

std::string visible_devices_variable() {
  const char* value = std::getenv("CUDA_VISIBLE_DEVICES");
  return value != nullptr ? value : "";
}

}  // namespace saemill
