// saemill doctor: what works on this machine, what does not, and why.
#include <fmt/format.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "commands.h"
#include "common/base/proc.h"
#include "common/base/text.h"
#include "control/launch/worker_client.h"
#include "machine.h"

namespace saemill {
namespace {

using Json = nlohmann::ordered_json;

constexpr int64_t kLowDisk = 5'000'000'000;
constexpr double kSlowCallMs = 50;  // such a call would show in every sample

struct Check {
  std::string id;      // stable
  std::string status;  // ok | note | warning | failed
  std::string message;
  std::string fix;
};

struct Options {
  MachineOptions machine;
  std::string worker;
  bool json = false;
};

Check driver_check(const nvml::SessionStatus& driver) {
  using State = nvml::SessionStatus::State;
  const auto& reading = driver.reading;
  switch (driver.state) {
    case State::answering:
      return {"driver", "ok",
              fmt::format("NVIDIA driver {} (NVML {}, {})", reading->driver_version, reading->library_version,
                          driver.library),
              ""};
    case State::absent:
      return {"driver", "note", driver.message,
              "only for NVIDIA GPUs: install the driver; CPU slots need none"};
    case State::failing:
      return {"driver", "failed", driver.message,
              "see `dmesg`; after a driver update: reboot, or reload the module"};
    case State::starting:
    case State::hanging:
      break;
  }
  return {"driver", "failed", driver.message.empty() ? "the driver does not answer" : driver.message,
          "see `dmesg`; a reboot helps"};
}

void gpu_checks(const Snapshot& snapshot, std::vector<Check>& checks) {
  for (const Device& device : snapshot.devices) {
    if (device.kind == DeviceKind::cpu) continue;
    const std::string id = "device." + short_name(snapshot.devices, device);
    switch (device.availability) {
      case Availability::free:
      case Availability::leased:
      case Availability::foreign:
        checks.push_back(
            {id, "ok", fmt::format("{} ({}): {}", device.name, device.uuid, device.reason.message), ""});
        break;
      case Availability::prohibited:
        checks.push_back({id, "note", fmt::format("{}: {}", device.name, device.reason.message), ""});
        break;
      default:
        checks.push_back({id, "warning",
                          fmt::format("{} ({}): {}", device.name, device.uuid, device.reason.message),
                          device.unreadable && device.unreadable->code == "no_permission"
                              ? "allow reading and writing /dev/nvidia* for this user"
                              : "reset the GPU or reboot"});
    }
    if (device.persistence_mode == false)
      checks.push_back(
          {"persistence", "note",
           device.name + ": persistence mode is off, so the driver starts anew for each first user",
           "nvidia-smi -pm 1"});
  }
}

void library_checks(const nvml::SessionStatus& driver, std::vector<Check>& checks) {
  if (driver.library.empty()) return;
  std::string missing;
  for (const std::string& name : driver.missing) missing += (missing.empty() ? "" : ", ") + name;
  checks.push_back(missing.empty()
                       ? Check{"nvml.symbols", "ok", "every NVML function that saemill calls is there", ""}
                       : Check{"nvml.symbols", "note",
                               "this driver's NVML lacks " + missing + "; what they tell is left out",
                               "a newer driver"});
  auto costs = driver.costs;
  std::sort(costs.begin(), costs.end(), [](const auto& a, const auto& b) { return a.max_ms > b.max_ms; });
  if (costs.size() > 5) costs.resize(5);
  std::string slowest;
  for (const auto& cost : costs)
    slowest += fmt::format("{}{} {:.2f} ms (at most {:.2f})", slowest.empty() ? "" : ", ", cost.name,
                           cost.mean_ms, cost.max_ms);
  const bool slow = !costs.empty() && costs[0].mean_ms > kSlowCallMs;
  checks.push_back({"nvml.latency", slow ? "warning" : "ok", "slowest calls: " + slowest,
                    slow ? "turn on persistence mode" : ""});
}

Check container_check() {
  const bool container =
      std::filesystem::exists("/.dockerenv") || std::filesystem::exists("/run/.containerenv");
  if (in_pid_namespace())
    return {"container", "warning",
            "this is a container with its own pids: whose processes use a GPU cannot be told, only that it "
            "is used",
            "start the container with --pid=host"};
  return {"container", "ok",
          container ? "a container that sees the machine's pids" : "not in a container of its own pids", ""};
}

// Docker gives a container 64 MB unless it is told otherwise.
Check shared_memory_check() {
  constexpr double kEnough = 1e9;
  struct statvfs space {};
  if (::statvfs("/dev/shm", &space) != 0)
    return {"shared_memory", "warning", "there is no /dev/shm, which several GPUs need to exchange by",
            "mount one of 1 GB or more; in Docker: --shm-size=1g"};
  const double bytes = static_cast<double>(space.f_blocks) * static_cast<double>(space.f_frsize);
  const std::string size = fmt::format("/dev/shm has {:.0f} MB", bytes / 1e6);
  if (bytes >= kEnough) return {"shared_memory", "ok", size, ""};
  return {"shared_memory", "warning",
          size + ": too little for NCCL, which fails as it starts on several GPUs",
          "1 GB or more; in Docker: --shm-size=1g or --ipc=host"};
}

void cpu_checks(const Snapshot& snapshot, std::vector<Check>& checks) {
  std::ifstream file("/proc/cpuinfo");
  std::string flags, found;
  for (std::string line; flags.empty() && std::getline(file, line);)
    if (line.starts_with("flags")) flags = line + " ";
  for (const char* flag : {"avx2", "avx512f", "avx512_bf16", "amx_bf16"})
    if (flags.find(fmt::format(" {} ", flag)) != std::string::npos) found += fmt::format(" {}", flag);
  const bool fast =
      found.find("avx512_bf16") != std::string::npos || found.find("amx_bf16") != std::string::npos;
  checks.push_back({"cpu", fast ? "ok" : "note",
                    fmt::format("{}, {} cores,{}", snapshot.host.cpu_name, snapshot.host.cores,
                                found.empty() ? " no vector extensions known here" : found),
                    fast ? "" : "without bf16 products train.dtype = \"f32\" is as fast"});
  checks.push_back({"memory", "ok",
                    fmt::format("{} of {} available", memory_text(snapshot.host.memory_available),
                                memory_text(snapshot.host.memory_total)),
                    ""});
}

// The nearest folder above that exists: the one that would be written to.
std::filesystem::path existing(std::filesystem::path path) {
  path = std::filesystem::absolute(path);
  while (!std::filesystem::exists(path) && path.has_parent_path() && path != path.parent_path())
    path = path.parent_path();
  return path;
}

Check folder_check(const char* id, const std::filesystem::path& folder) {
  const auto there = existing(folder);
  std::error_code error;
  const auto space = std::filesystem::space(there, error);
  const auto free = error ? 0 : static_cast<int64_t>(space.available);
  if (::access(there.c_str(), W_OK) != 0)
    return {id, "failed", fmt::format("{} cannot be written", there.string()),
            "another folder, or its permissions"};
  return {id, free < kLowDisk ? "warning" : "ok",
          fmt::format("{}: {:.1f} GB free", folder.string(), static_cast<double>(free) / 1e9),
          free < kLowDisk ? "checkpoints need room; free some" : ""};
}

Check worker_check(const std::string& named) {
  try {
    return {"worker", "ok", find_worker(named).string(), ""};
  } catch (const std::exception& error) {
    return {"worker", "failed", error.what(), "build it, or name it with --worker"};
  }
}

// Where GPUs are seen but cannot be trained on, something is to be mended.
Check training_check(const Snapshot& snapshot, const std::string& named) {
  const bool has_gpu = std::any_of(snapshot.devices.begin(), snapshot.devices.end(),
                                   [](const Device& device) { return device.kind != DeviceKind::cpu; });
  try {
    SignalRequests signals;
    const std::string problem = gpu_problem(find_worker(named), signals);
    if (problem.empty()) return {"training", "ok", "trains on GPUs and on CPU slots", ""};
    return {"training", has_gpu ? "warning" : "note", "trains on CPU slots; GPUs cannot be used: " + problem,
            ""};
  } catch (const std::exception& error) {
    return {"training", "warning", error.what(), ""};
  }
}

std::vector<Check> examine(const Options& options) {
  std::vector<Check> checks;
  Machine machine(options.machine);
  const auto snapshot = machine.look(0.3);
  const auto driver = machine.monitor().driver();
  checks.push_back(driver_check(driver));
  library_checks(driver, checks);
  gpu_checks(*snapshot, checks);
  checks.push_back(training_check(*snapshot, options.worker));
  checks.push_back(container_check());
  if (std::count_if(snapshot->devices.begin(), snapshot->devices.end(), counts_as_gpu) > 1)
    checks.push_back(shared_memory_check());
  cpu_checks(*snapshot, checks);
  const auto data = data_folder(options.machine.data);
  checks.push_back(folder_check("disk.data", data));
  checks.push_back(folder_check("disk.runs", "runs"));
  checks.push_back(
      snapshot->store_problem.empty()
          ? Check{"store", "ok",
                  std::filesystem::exists(database_path(data))
                      ? database_path(data).string()
                      : "none yet; `saemill serve` makes " + database_path(data).string(),
                  ""}
          : Check{"store", "failed", snapshot->store_problem, "leases are not known without it"});
  checks.push_back(worker_check(options.worker));
  return checks;
}

int doctor(const Options& options) {
  const auto checks = examine(options);
  const bool ok =
      std::none_of(checks.begin(), checks.end(), [](const Check& check) { return check.status == "failed"; });
  if (options.json) {
    Json list = Json::array();
    for (const Check& check : checks) {
      Json json{{"id", check.id}, {"status", check.status}, {"message", check.message}};
      if (!check.fix.empty()) json["fix"] = check.fix;
      list.push_back(std::move(json));
    }
    std::printf(
        "%s\n",
        Json{{"ok", ok}, {"checks", list}}.dump(-1, ' ', false, Json::error_handler_t::replace).c_str());
  } else {
    for (const Check& check : checks) {
      std::printf("%-8s %-14s %s\n", check.status.c_str(), check.id.c_str(), check.message.c_str());
      if (!check.fix.empty()) std::printf("%-23s %s\n", "", check.fix.c_str());
    }
  }
  return ok ? 0 : 1;
}

}  // namespace

void add_doctor(CLI::App& app, Command& chosen) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand(
      "doctor", "What works on this machine, what does not, and why; exit code 1 where something fails");
  command->add_option("--worker", options->worker, "saemill-worker; default: the one beside saemill")
      ->type_name("PATH");
  command->add_flag("--json", options->json, "{ok, checks[{id, status, message, fix}]} on one line");
  add_machine_options(*command, options->machine);
  command->callback([options, &chosen] { chosen = [options] { return doctor(*options); }; });
}

}  // namespace saemill
