// What watching costs: the sampler's share of a core and its time per sample, for 8 and 16 GPUs of the fake
// driver; and what the history's rows and queries cost for 16 devices.
//   monitor_cost --nvml LIBRARY [--seconds 30] [--period 1] [--brief] [--json]
// Exit code 1 where a sample, a device or a stored row is missing. Times are printed and not judged.
#include <dlfcn.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cmath>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <thread>

#include "common/base/clock.h"
#include "common/base/error.h"
#include "common/base/temporary_folder.h"
#include "control/monitor/monitor.h"
#include "fake_nvml/machine.h"

namespace fs = std::filesystem;
using namespace saemill;

namespace {

struct Options {
  std::string nvml;
  double seconds = 30, period = 1;
  bool brief = false, json = false;
};

double cpu_seconds() {
  timespec time{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

Json watch(int gpus, const Options& options, const fs::path& folder) {
  std::ofstream(folder / "next.json") << machine_of(gpus).dump();
  fs::rename(folder / "next.json", folder / "scenario.json");
  Database database("sqlite:" + (folder / fmt::format("watch-{}.db", gpus)).string());
  DeviceHistory history(database);
  Leases leases(database);
  Recorder recorder(history);
  MonitorOptions monitor_options;
  monitor_options.period = options.period;
  monitor_options.data = folder;
  monitor_options.leases = &leases;
  monitor_options.recorder = &recorder;
  Monitor monitor(std::move(monitor_options));
  const double process_before = cpu_seconds(), begin = monotonic_seconds();
  monitor.start();
  std::this_thread::sleep_for(std::chrono::duration<double>(options.seconds));
  const double process = cpu_seconds() - process_before, wall = monotonic_seconds() - begin;
  const MonitorCost cost = monitor.cost();
  const auto snapshot = monitor.latest();
  monitor.stop();
  return {{"gpus", gpus},
          {"devices", snapshot ? snapshot->devices.size() : 0},
          {"samples", cost.samples},
          {"sample_ms", cost.mean_ms},
          {"sample_ms_max", cost.max_ms},
          {"sampler_cpu_percent", cost.cpu_percent},
          {"process_cpu_percent", 100 * process / wall}};
}

// A second of samples of each device at a time, as the recorder does it; then what the page asks for.
Json remember(const Options& options, const fs::path& folder) {
  constexpr int kGpus = 16;
  const int64_t now = 1'800'000'000, seconds = options.brief ? 120 : 3600;
  Database database("sqlite:" + (folder / "history.db").string());
  DeviceHistory history(database);
  double begin = monotonic_seconds();
  for (int64_t t = now - seconds; t < now; ++t) {
    std::vector<HistorySample> samples(kGpus);
    for (int gpu = 0; gpu < kGpus; ++gpu) {
      HistorySample& sample = samples[static_cast<size_t>(gpu)];
      sample.uuid = gpu_uuid(gpu), sample.time_ms = t * 1000;
      for (size_t field = 0; field < sample.values.size(); ++field)
        sample.values[field] = static_cast<double>((t + gpu + static_cast<int64_t>(field)) % 100);
    }
    history.add(samples);
  }
  const double add = 1e3 * (monotonic_seconds() - begin) / static_cast<double>(seconds);
  const auto timed_query = [&](std::vector<std::string> fields, int64_t& found) {
    const double start = monotonic_seconds();
    const HistorySeries series = history.query({gpu_uuid(3), now - seconds, now, 300, std::move(fields)});
    found = static_cast<int64_t>(series.time.size());
    return 1e3 * (monotonic_seconds() - start);
  };
  int64_t buckets_of_one = 0, buckets_of_all = 0;
  const double one = timed_query({"utilization"}, buckets_of_one), all = timed_query({}, buckets_of_all);
  begin = monotonic_seconds();
  history.thin(now + 3600);
  return {{"gpus", kGpus},
          {"seconds", seconds},
          {"add_ms", add},
          {"query_one_field_ms", one},
          {"query_all_fields_ms", all},
          {"buckets", std::min(buckets_of_one, buckets_of_all)},
          {"thin_ms", 1e3 * (monotonic_seconds() - begin)},
          {"file_bytes", fs::file_size(folder / "history.db")}};
}

int run(const Options& options, const fs::path& folder) {
  ::setenv("FAKE_NVML_SCENARIO", (folder / "scenario.json").c_str(), 1);
  std::ofstream(folder / "scenario.json") << machine_of(8).dump();
  // By its path; a later dlopen of the driver's name finds it, since it bears that name.
  if (::dlopen(options.nvml.c_str(), RTLD_NOW | RTLD_LOCAL) == nullptr)
    fail(ErrorCode::usage, "--nvml {}: {}", options.nvml, ::dlerror());
  Json result{{"period", options.period}, {"watch", Json::array()}};
  bool complete = true;
  for (const int gpus : {8, 16}) {
    const Json row = watch(gpus, options, folder);
    complete &= row["devices"] == gpus &&
                row["samples"].get<double>() >= std::floor(options.seconds / options.period / 2);
    result["watch"].push_back(row);
    if (!options.json)
      fmt::print(
          "{:2} GPUs every {} s: {} samples of {:.2f} ms (at most {:.2f}); sampler {:.2f} % of a core,"
          " with the store {:.2f} %\n",
          gpus, options.period, row["samples"].get<int>(), row["sample_ms"].get<double>(),
          row["sample_ms_max"].get<double>(), row["sampler_cpu_percent"].get<double>(),
          row["process_cpu_percent"].get<double>());
  }
  const Json row = remember(options, folder);
  complete &= row["buckets"].get<int>() >= 60 && row["buckets"].get<int>() <= 300;
  result["history"] = row;
  if (options.json) {
    fmt::print("{}\n", result.dump());
  } else {
    fmt::print(
        "history of 16 devices, {} s: {:.2f} ms to add a second; {:.1f} ms to ask for one field of one"
        " device, {:.1f} ms for all 13, in {} buckets; {:.0f} ms to thin; {:.1f} MB\n",
        row["seconds"].get<int>(), row["add_ms"].get<double>(), row["query_one_field_ms"].get<double>(),
        row["query_all_fields_ms"].get<double>(), row["buckets"].get<int>(), row["thin_ms"].get<double>(),
        row["file_bytes"].get<double>() / 1e6);
  }
  return complete ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("What watching the devices costs.", "monitor_cost");
  Options options;
  app.add_option("--nvml", options.nvml, "The fake libnvidia-ml.so.1")->required();
  app.add_option("--seconds", options.seconds, "How long for each number of GPUs")->capture_default_str();
  app.add_option("--period", options.period, "Seconds between two samples")->capture_default_str();
  app.add_flag("--brief", options.brief, "Two seconds each, at a quarter of a second");
  app.add_flag("--json", options.json, "One object on one line");
  CLI11_PARSE(app, argc, argv);
  if (options.brief) options.seconds = 2, options.period = 0.25;
  int code = 70;
  try {
    code = run(options, TemporaryFolder().path);
  } catch (const std::exception& error) {
    fmt::print(stderr, "monitor_cost: {}\n", error.what());
  }
  return code;
}
