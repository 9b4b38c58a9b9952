#include "gpu_constants.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <fstream>
#include <thread>

#include "common/base/clock.h"
#include "common/base/error.h"
#include "common/base/file.h"
#include "control/launch/fd.h"
#include "control/launch/process.h"
#include "control/launch/worker_client.h"
#include "machine.h"

namespace saemill {
namespace {

using Json = nlohmann::json;
namespace fs = std::filesystem;

constexpr double kPatience = 60;  // seconds for the worker to start
constexpr double kLook = 10;      // for the driver to show it

fs::path file_of(const fs::path& data) {
  return data / "gpu_constants.json";
}

Json read_all(const fs::path& data) {
  std::ifstream file(file_of(data));
  Json json = Json::parse(file, nullptr, /*allow_exceptions=*/false);
  return json.is_array() ? json : Json::array();
}

// The worker's line; Error{retry} where it ends or is silent.
int64_t planned_bytes(int fd) {
  std::string line;
  const double deadline = monotonic_seconds() + kPatience;
  while (line.find('\n') == std::string::npos) {
    pollfd polled{fd, POLLIN, 0};
    const double left = deadline - monotonic_seconds();
    std::array<char, 512> buffer{};
    const ssize_t got = left > 0 && ::poll(&polled, 1, static_cast<int>(left * 1e3)) > 0
                            ? ::read(fd, buffer.data(), buffer.size())
                            : -1;
    if (got <= 0) fail(ErrorCode::retry, "saemill-worker did not start on the GPU; its message is above");
    line.append(buffer.data(), static_cast<size_t>(got));
  }
  return Json::parse(line).at("plan_bytes").get<int64_t>();
}

// What the driver says the process holds, once it says the same twice.
int64_t held_by(int64_t pid, const std::string& uuid) {
  Machine machine({.every_device = true});
  int64_t before = -1;
  for (const double deadline = monotonic_seconds() + kLook; monotonic_seconds() < deadline;) {
    const auto snapshot = machine.look();
    const Device* device = find_device(snapshot->devices, uuid);
    if (device != nullptr && device->processes)
      for (const DeviceProcess& process : *device->processes)
        if (process.pid == pid && process.memory_used) {
          if (*process.memory_used == before) return before;
          before = *process.memory_used;
        }
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
  }
  fail(ErrorCode::retry,
       "the driver does not show what process {} holds (in a container: start it with --pid=host)", pid);
}

}  // namespace

std::optional<DeviceConstants> measured_constants(const fs::path& data, const Device& gpu,
                                                  const std::string& driver_version) {
  for (const Json& entry : read_all(data))
    if (entry.value("name", "") == gpu.name && entry.value("driver_version", "") == driver_version)
      return DeviceConstants{entry.at("context").get<int64_t>(), gpu_constants().communicator};
  return std::nullopt;
}

DeviceConstants measure_constants(const fs::path& data, const Device& gpu, const std::string& worker) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) fail(ErrorCode::retry, "cannot make a pipe");
  const Fd read_end(ends[0]);
  Fd write_end(ends[1]);
  SpawnOptions spawn;
  spawn.command = {find_worker(worker).string(), "probe", "--uuid", gpu.uuid};
  spawn.environment = {"CUDA_VISIBLE_DEVICES=" + gpu.uuid, "CUDA_DEVICE_ORDER=PCI_BUS_ID"};
  spawn.stdout_fd = write_end.get();
  const Process process(spawn);  // killed when this returns
  write_end.reset();
  const int64_t planned = planned_bytes(read_end.get()), held = held_by(process.pid(), gpu.uuid);
  if (held < planned)
    fail(ErrorCode::retry, "the driver says that the process holds {} bytes; it has allocated {}", held,
         planned);
  const DeviceConstants constants{held - planned, gpu_constants().communicator};
  Machine machine({.every_device = true});
  const std::string driver = machine.look()->driver.driver_version;
  Json all = Json::array();
  for (const Json& entry : read_all(data))
    if (entry.value("name", "") != gpu.name || entry.value("driver_version", "") != driver)
      all.push_back(entry);
  all.push_back({{"name", gpu.name},
                 {"driver_version", driver},
                 {"context", constants.context},
                 {"time", utc_time(epoch_seconds())}});
  fs::create_directories(data);
  write_file_atomically(real_file_system(), file_of(data), all.dump(1) + "\n");
  return constants;
}

}  // namespace saemill
