// bench step: what one training step costs on one device, by phase, beside what its arithmetic and memory
// traffic must cost.
#include <algorithm>
#include <cstdio>

#include "bench_commands.h"
#include "bench_floors.h"
#include "common/base/clock.h"
#include "engine/gpu/runtime.h"
#include "engine/train/memory.h"
#include "rank_device.h"

namespace saemill {
namespace {

using Json = nlohmann::ordered_json;

constexpr double kExplain = 1.3;  // times its floor: what a phase takes beyond it wants an explanation

struct Options {
  BenchShape shape;
  std::string devices = "cpu:0";
  int repeats = 0, warmup = -1, threads = 0;  // 0 and -1: by device
  bool same_batch = false, json = false;
};

struct Series {
  double step_ms = 0;
  std::map<std::string, double> phases;  // ms of one step
};

std::map<std::string, double> per_step(std::map<std::string, double> phases, int steps) {
  for (auto& [name, ms] : phases) ms /= steps;
  return phases;
}

// Each step is over when the call returns: the median is what other programs on the machine disturb least.
Series run_host(BenchTraining& training, const Options& options) {
  for (int i = 0; i < options.warmup; ++i) training.step();
  training.take_phases();
  std::vector<double> times;
  for (int i = 0; i < options.repeats; ++i) {
    const double start = monotonic_seconds();
    training.step();
    times.push_back(1e3 * (monotonic_seconds() - start));
  }
  std::sort(times.begin(), times.end());
  return {times[times.size() / 2], per_step(training.take_phases(), options.repeats)};
}

// Timed as one, since nothing waits between steps; then again by phase, which a recorded step does not tell.
Series run_device(BenchTraining& training, const Options& options) {
  for (int i = 0; i < options.warmup; ++i) training.step();
  training.wait();
  training.take_phases();
  const double start = monotonic_seconds();
  for (int i = 0; i < options.repeats; ++i) training.step();
  training.wait();
  Series series;
  series.step_ms = 1e3 * (monotonic_seconds() - start) / options.repeats;
  const double data_wait = training.take_phases()["data_wait"] / options.repeats;
  training.backend().measure_phases(true);
  for (int i = 0; i < options.repeats; ++i) training.step();
  series.phases = per_step(training.take_phases(), options.repeats);
  series.phases["data_wait"] = data_wait;
  training.backend().measure_phases(false);
  return series;
}

Json phases_beside_floors(const std::map<std::string, double>& phases,
                          const std::map<std::string, double>& floors) {
  Json list = Json::object();
  for (const auto& [name, ms] : phases) {
    list[name] = {{"ms", ms}};
    if (const auto floor = floors.find(name); floor != floors.end()) {
      list[name]["floor_ms"] = floor->second;
      list[name]["times_floor"] = ms / floor->second;
    }
  }
  return list;
}

Json over_floor(const Json& phases) {
  Json names = Json::array();
  for (const auto& [name, phase] : phases.items())
    if (phase.value("times_floor", 0.0) > kExplain) names.push_back(name);
  return names;
}

// What the device holds of this process.
int64_t resident(bool gpu) {
  if (gpu) {
    const gpu::MemoryInfo info = gpu::memory_info();
    return static_cast<int64_t>(info.total_bytes) - static_cast<int64_t>(info.free_bytes);
  }
  const ProcessMemory memory = process_memory();
  return memory.anonymous + memory.shared;
}

int64_t planned(const Plan& plan) {
  if (plan.memory == DeviceMemory::cpu) return plan.total_bytes();
  int64_t bytes = 0;
  for (const auto& buffer : plan.buffers)
    if (!buffer.host && !buffer.shared) bytes += buffer.bytes();
  return bytes;
}

void print(const Json& result) {
  std::printf("%s", result["backend"].get<std::string>().c_str());
  if (result["device"] == "cpu:0") std::printf(", %d thread(s)", result["threads"].get<int>());
  std::printf("\n%.2f ms a step, %.0f activations/s\n", result["step_ms"].get<double>(),
              result["activations_per_second"].get<double>());
  for (const auto& [name, phase] : result["phases"].items()) {
    std::printf("  %-14s %9.3f ms", name.c_str(), phase["ms"].get<double>());
    if (phase.contains("floor_ms")) {
      const double times = phase["times_floor"].get<double>();
      std::printf("   floor %9.3f, %.2f times%s", phase["floor_ms"].get<double>(), times,
                  times > kExplain ? " <- over 1.3" : "");
    }
    std::printf("\n");
  }
  std::printf(
      "GEMM %.2f TFLOP/s, copy %.1f GB/s\nplan %.1f MB, resident %.1f MB\nrecorded steps of %lld kind(s)\n",
      result["gemm_flops"].get<double>() / 1e12, result["copy_bytes_per_second"].get<double>() / 1e9,
      result["plan_bytes"].get<double>() / 1e6, result["resident_bytes"].get<double>() / 1e6,
      static_cast<long long>(result["recordings"].get<int64_t>()));
}

Json measure(const BenchSetup& setup, const Options& options, const BenchDevice& device, int threads) {
  const auto comm = make_self_communicator();
  const auto set = random_activations(setup.d_in, loader_threads(device.gpu, cores_allowed()));
  const int64_t before = resident(device.gpu);
  Series series;
  Json result;
  {
    BenchTraining training({setup, set, threads, options.same_batch},
                           device.gpu ? gpu_device(setup.config.parallel, 60) : cpu_device(threads), *comm);
    series =
        training.backend().is_asynchronous() ? run_device(training, options) : run_host(training, options);
    result["backend"] = training.backend().name();
    result["recordings"] = training.backend().recordings();
    result["plan_bytes"] = planned(training.plan());
    result["resident_bytes"] = resident(device.gpu) - before;
  }
  // Apart from the training's memory, which may leave little room.
  const MachineRates rates = device.gpu ? gpu_rates(setup) : cpu_rates(setup, threads);
  const Json phases =
      phases_beside_floors(series.phases, device.gpu ? gpu_floors(setup, rates) : cpu_floors(setup, rates));
  const auto batch = static_cast<double>(setup.config.train.batch_size);
  Json all{{"activations_per_second", 1e3 * batch / series.step_ms},
           {"step_ms", series.step_ms},
           {"steps", options.repeats},
           {"phases", phases},
           {"over_floor", over_floor(phases)},
           {"device", options.devices},
           {"shape", options.shape.shape},
           {"architecture", options.shape.architecture},
           {"dtype", options.shape.dtype},
           {"threads", threads},
           {"same_batch", options.same_batch},
           {"gemm_flops", 2 * rates.multiply_adds},
           {"copy_bytes_per_second", rates.copied_bytes}};
  all.update(result);
  return all;
}

int bench_step(Options options) {
  const BenchSetup setup = make_setup(options.shape);
  const BenchDevice device = parse_device(options.devices, true);
  if (device.gpu && options.threads > 0) fail(ErrorCode::usage, "--threads is for CPU ranks");
  if (device.gpu) use_gpu_number(device.index);
  if (options.repeats == 0) options.repeats = device.gpu ? 50 : 5;
  if (options.warmup < 0) options.warmup = device.gpu ? 10 : 2;
  const int threads = device.gpu ? 1 : options.threads > 0 ? options.threads : cores_allowed();
  const Json result = measure(setup, options, device, threads);
  if (options.json)
    std::printf("%s\n", result.dump().c_str());
  else
    print(result);
  return 0;
}

}  // namespace

void add_bench_step(CLI::App& bench, Run& run) {
  auto options = std::make_shared<Options>();
  CLI::App* command = bench.add_subcommand("step", "One training step on random activations");
  command->add_option("--shape", options->shape.shape, "batch,d_in,d_sae,k");
  command->add_option("--arch", options->shape.architecture, "topk | relu");
  command->add_option("--dtype", options->shape.dtype, "bf16 | f32");
  command->add_option("--devices", options->devices, "cpu:0 | gpu:K");
  command->add_option("--repeats", options->repeats, "Steps that are measured; 5 on CPUs, 50 on a GPU")
      ->check(CLI::Range(1, 100000));
  command->add_option("--warmup", options->warmup, "Steps before these; 2 on CPUs, 10 on a GPU")
      ->check(CLI::Range(0, 1000));
  command->add_option("--threads", options->threads, "0: the cores of the affinity mask")
      ->check(CLI::Range(0, 1024));
  command->add_flag(
      "--same-batch", options->same_batch,
      "The loader fills its slots once, so that the host's memory does not limit a fast device");
  command->add_flag("--json", options->json, "One JSON object on one line");
  command->callback([options, &run] { run = [options] { return bench_step(*options); }; });
}

}  // namespace saemill
