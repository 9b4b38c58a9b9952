// What a decision of the queue costs: 1,000 waiting trainings on 16 devices, in five situations.
//   schedule_cost [--jobs 1000] [--devices 16] [--rounds 200] [--brief]
// Prints JSON with milliseconds per decision. Exit code 1 where a decision is incomplete; times are not
// judged.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>

#include "common/base/clock.h"
#include "common/base/random.h"
#include "control/jobs/schedule.h"

using namespace saemill;

namespace {

using Json = nlohmann::ordered_json;

struct Options {
  int jobs = 1000, devices = 16, rounds = 200;
};

Device device_of(int index, bool cpu) {
  Device device;
  device.index = index;
  device.uuid = fmt::format("{}-5d5ba0d6-d33d-2b2c-524d-{:012x}", cpu ? "CPU" : "GPU", index);
  device.kind = cpu ? DeviceKind::cpu : DeviceKind::gpu;
  device.name = cpu ? "AMD EPYC" : "NVIDIA H200";
  device.memory_total = device.memory_free = 150'000'000'000;
  device.availability = Availability::free;
  return device;
}

// The first `free` devices are free, the others run trainings whose ends are known or, for a third, not.
ScheduleInput situation(const Options& options, int free, bool cpu) {
  ScheduleInput input;
  input.now = 1.8e9;
  for (int i = 0; i < options.devices; ++i) {
    input.snapshot.devices.push_back(device_of(i, cpu));
    for (int j = 0; j < i && !cpu; ++j)
      input.snapshot.topology.set(device_of(i, false).uuid, device_of(j, false).uuid,
                                  {.nvlinks = i / 8 == j / 8 ? 18 : 0, .level = 50});
    if (i < free) continue;
    RunningJob running{fmt::format("running-{}", i), {input.snapshot.devices.back().uuid}, std::nullopt};
    if (i % 3 != 0) running.ends_at = input.now + 60 * i;
    input.running.push_back(running);
    input.snapshot.devices.back().availability = Availability::leased;
  }
  for (int i = 0; i < options.jobs; ++i) {
    const auto pick = [&](uint64_t stream, uint64_t below) {
      return static_cast<int>(random_bits(1, stream, static_cast<uint64_t>(i)) % below);
    };
    WaitingJob job;
    job.id = fmt::format("t-{:08}", i);
    job.order = i;
    job.priority = pick(1, 5) * 20;
    job.count = std::min(options.devices, i == 0 ? options.devices : 1 << pick(2, 4));
    if (i == 0) job.priority = 100;  // the head takes all
    job.memory = pick(3, 2) * 40'000'000'000;
    if (pick(4, 3) > 0) job.duration = 600 + pick(5, 100) * 60;
    input.waiting.push_back(std::move(job));
  }
  return input;
}

bool measure(const char* name, const ScheduleInput& input, const Options& options, Json& json) {
  std::vector<double> times;
  size_t starts = 0;
  bool complete = true;
  for (int round = 0; round < options.rounds; ++round) {
    const double begin = monotonic_seconds();
    const Decisions decisions = schedule(input);
    times.push_back((monotonic_seconds() - begin) * 1e3);
    starts = decisions.starts.size();
    complete = complete && decisions.starts.size() + decisions.waits.size() == input.waiting.size();
  }
  std::sort(times.begin(), times.end());
  json[name] = {{"median_ms", times[times.size() / 2]}, {"max_ms", times.back()}, {"starts", starts}};
  return complete;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("What a decision of the queue costs.", "schedule_cost");
  bool brief = false;
  app.add_option("--jobs", options.jobs)->check(CLI::Range(1, 1000000))->capture_default_str();
  app.add_option("--devices", options.devices)->check(CLI::Range(1, 512))->capture_default_str();
  app.add_option("--rounds", options.rounds)->check(CLI::Range(1, 100000))->capture_default_str();
  app.add_flag("--brief", brief, "5 rounds");
  CLI11_PARSE(app, argc, argv);
  if (brief) options.rounds = 5;
  Json json{{"jobs", options.jobs}, {"devices", options.devices}};
  bool complete = measure("all_busy", situation(options, 0, false), options, json);
  complete = measure("half_free_reserved", situation(options, options.devices / 2, false), options, json) &&
             complete;
  ScheduleInput idle = situation(options, options.devices, false);
  complete = measure("one_starts_on_all", idle, options, json) && complete;
  idle.waiting[0].count = std::max(1, options.devices / 2);  // the most sets to choose from
  complete = measure("half_of_all_idle_is_chosen", idle, options, json) && complete;
  complete = measure("idle_cpu_slots", situation(options, options.devices, true), options, json) && complete;
  std::printf("%s\n", json.dump().c_str());
  return complete ? 0 : 1;
}
