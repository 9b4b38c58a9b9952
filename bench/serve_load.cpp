// What many live clients cost: a server with 16 devices at 1 s and a training that writes 10 lines a second
// to its events.jsonl in one process, its clients in another, on loopback. An event's time is from the line
// written, over the store, to the client. Prints one JSON object. Fails where an event is lost; never
// where something is slow.
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <thread>

#include "common/base/clock.h"
#include "common/base/proc.h"
#include "common/base/temporary_folder.h"
#include "common/protocol/events.h"
#include "control/api/training_feed.h"
#include "control/jobs/event_pump.h"
#include "control/net/server.h"
#include "load_clients.h"

namespace saemill {
namespace {

using Json = nlohmann::ordered_json;
constexpr const char* kTraining = "bench";
constexpr const char* kChannel = "trainings/bench/progress";

std::shared_ptr<const Snapshot> machine_of(int gpus) {
  auto snapshot = std::make_shared<Snapshot>();
  for (int i = 0; i < gpus; ++i) {
    Device device;
    device.index = i;
    device.uuid = fmt::format("GPU-{:08x}-0000-4000-8000-000000000000", i);
    device.name = "NVIDIA H200", device.pci_bus_id = fmt::format("00000000:{:02x}:00.0", i);
    device.memory_total = int64_t{143} << 30, device.memory_used = int64_t{i} << 30;
    device.memory_free = *device.memory_total - *device.memory_used, device.memory_reserved = 500 << 20;
    device.utilization = 97, device.memory_utilization = 40, device.temperature = 60, device.power_draw = 650;
    device.power_limit = 700, device.energy = 1e9, device.clock_sm = 1980, device.clock_memory = 2619;
    device.throttle = std::vector<std::string>{"sw_power_cap"};
    device.pcie = {1e9, 1e9}, device.nvlink = {1e11, 1e11};
    DeviceProcess process;
    process.pid = 1000 + i, process.type = "compute", process.user = "researcher";
    process.command = "saemill-worker train --rank " + std::to_string(i),
    process.memory_used = int64_t{i} << 30;
    device.processes = {process};
    snapshot->devices.push_back(std::move(device));
  }
  return snapshot;
}

double cpu_seconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

// The server's own services, as `saemill serve` has them, with devices that do not change.
struct Serving {
  explicit Serving(const std::filesystem::path& folder)
      : database("sqlite:" + (folder / "load.db").string()),
        sessions(database),
        auth("the-token-of-the-benchmark", "load", sessions),
        hub([this] {
          if (net::Server* at = listening.load()) at->wake();
        }),
        feed(hub),
        board(database, "bench", feed),
        pump(database, board, [](const std::string&) {}),
        events(folder / "events.jsonl") {
    hub.open("system/gpus");
    TrainingRow row;
    row.id = row.name = kTraining;
    std::vector<TrainingRow> rows{row};
    board.create(rows);
    pump.follow(kTraining, folder / "events.jsonl");
    services.snapshot = [snapshot = machine_of(16)] { return snapshot; };
    services.auth = &auth, services.hub = &hub;
    net::ServerOptions options{.port = 0, .hosts = {}};
    options.limits.requests = {.per_second = 1e5, .burst = 1e5};  // a thousand clients of one address
    server = std::make_unique<net::Server>(options, services);
    listening = server.get();
  }
  Database database;
  Sessions sessions;
  api::Auth auth;
  std::atomic<net::Server*> listening = nullptr;
  api::Hub hub;
  api::TrainingFeed feed;
  TrainingBoard board;
  EventPump pump;
  EventLog events;
  api::Services services;
  std::unique_ptr<net::Server> server;
};

// As the monitor and a launcher would. Memory of this process each second.
std::vector<int64_t> publish(Serving& serving, const std::atomic<bool>& stop) {
  std::vector<int64_t> memory;
  const double begin = monotonic_seconds();
  for (int i = 0; !stop; ++i) {
    const double due = begin + 0.1 * i;
    std::this_thread::sleep_for(std::chrono::duration<double>(std::max(0.0, due - monotonic_seconds())));
    if (i % 10 == 0) {
      serving.hub.tick("system/gpus", "system:metrics", devices_json(serving.services.snapshot()->devices));
      memory.push_back(process_memory(::getpid(), "RssAnon").value_or(0));
    }
    serving.events.append(1, {{"event", "metrics"},
                              {"step", i + 1},
                              {"values", {{"loss", 1.5}, {"fvu", 0.25}, {"l0", 32}, {"step_ms", 100}}},
                              {"sent", monotonic_seconds()}});
  }
  return memory;
}

// The clients are a process: their time is not the server's. Started before there is a thread.
struct Child {
  pid_t pid = -1;
  int to = -1, from = -1;
};
Child start_clients(LoadOptions options) {
  int down[2], up[2];
  if (::pipe(down) != 0 || ::pipe(up) != 0) throw std::runtime_error("no pipe");
  const pid_t pid = ::fork();
  if (pid != 0) {
    ::close(down[0]), ::close(up[1]);
    return {pid, down[1], up[0]};
  }
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::close(down[1]);
  if (::read(down[0], &options.port, sizeof options.port) != sizeof options.port) ::_exit(1);
  std::string text;
  try {
    text = run_load(options).dump();
  } catch (const std::exception& error) {
    text = Json{{"error", error.what()}}.dump();
  }
  const bool told = ::write(up[1], text.data(), text.size()) == static_cast<ssize_t>(text.size());
  ::_exit(told ? 0 : 1);
}

std::string read_all(int fd) {
  std::string text;
  char bytes[4096];
  for (ssize_t n; (n = ::read(fd, bytes, sizeof bytes)) > 0;) text.append(bytes, static_cast<size_t>(n));
  return text;
}

int run(LoadOptions options) {
  rlimit files{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &files);
  options.token = "the-token-of-the-benchmark", options.events_channel = kChannel;
  const Child child = start_clients(options);
  const TemporaryFolder temporary;
  Json json;
  {
    Serving serving(temporary.path);
    const std::string url = serving.server->url();
    const int port = std::stoi(url.substr(url.rfind(':') + 1));
    std::thread loop([&] { serving.server->run(); });
    std::atomic<bool> stop = false;
    std::vector<int64_t> memory;
    std::thread publisher([&] { memory = publish(serving, stop); });
    const double begin = monotonic_seconds(), cpu = cpu_seconds();
    if (::write(child.to, &port, sizeof port) != sizeof port) throw std::runtime_error("no clients");
    json = Json::parse(read_all(child.from));
    json["server_cpu_percent"] = 100 * (cpu_seconds() - cpu) / (monotonic_seconds() - begin);
    stop = true;
    publisher.join();
    json["server_memory"] = {{"after_5_s", memory.size() > 5 ? memory[5] : memory.back()},
                             {"at_end", memory.back()},
                             {"max", *std::max_element(memory.begin(), memory.end())}};
    serving.server->stop();
    loop.join();
  }
  ::waitpid(child.pid, nullptr, 0);
  std::printf("%s\n", json.dump().c_str());
  const bool whole = json.value("events", 0) > 0 && json.value("lost", -1) == 0 &&
                     json.value("out_of_order", -1) == 0 && json.value("closed", -1) == 0 &&
                     json.value("failed", -1) == 0;
  return whole ? 0 : 1;
}

}  // namespace
}  // namespace saemill

int main(int argc, char** argv) {
  saemill::LoadOptions options;
  CLI::App app("Many live clients of one server.", "serve_load");
  bool brief = false;
  app.add_option("--clients", options.clients)->check(CLI::Range(1, 20000))->capture_default_str();
  app.add_option("--seconds", options.seconds)->check(CLI::Range(1.0, 86400.0))->capture_default_str();
  app.add_option("--requests", options.requests_per_second, "A second")
      ->check(CLI::Range(1.0, 1e5))
      ->capture_default_str();
  app.add_flag("--brief", brief, "100 clients for 10 s");
  CLI11_PARSE(app, argc, argv);
  if (brief) options.clients = 100, options.seconds = 10;
  return saemill::run(options);
}
