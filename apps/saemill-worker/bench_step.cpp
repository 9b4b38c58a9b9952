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
// Of a GPU, where the number of steps is not asked for: until its clocks have settled, and what a pause of
// the host does not hide.
constexpr double kWarmMs = 500, kWindowMs = 300;
constexpr int kWindows = 3;
constexpr int kPhaseSteps = 50;  // at most, by phase: each keeps its events until they are read

struct Options {
  BenchShape shape;
  std::string devices = "cpu:0";
  int repeats = 0, warmup = -1, threads = 0;  // 0 and -1: by device
  int64_t hot = 0;
  bool same_batch = false, floors = true, json = false;
};

struct Series {
  double step_ms = 0;
  std::map<std::string, double> phases;  // ms of one step
  int steps = 0;                         // of one window
  std::vector<double> windows = {};      // ms of a step in each; of a CPU none
};

std::map<std::string, double> per_step(std::map<std::string, double> phases, int steps) {
  for (auto& [name, ms] : phases) ms /= steps;
  return phases;
}

double median(std::vector<double> times) {
  std::sort(times.begin(), times.end());
  return times[times.size() / 2];
}

// Each step is over when the call returns: the median is what other programs on the machine disturb least.
Series run_host(BenchTraining& training, const Options& options) {
  for (int i = 0; i < options.warmup; ++i) training.step();
  training.take_phases();
  std::vector<double> times;
  const int steps = options.repeats > 0 ? options.repeats : 5;
  for (int i = 0; i < steps; ++i) {
    const double start = monotonic_seconds();
    training.step();
    times.push_back(1e3 * (monotonic_seconds() - start));
  }
  return {median(times), per_step(training.take_phases(), steps), steps};
}

// Milliseconds of so many steps, timed as one, since nothing waits between them.
double window_ms(BenchTraining& training, int steps) {
  const double start = monotonic_seconds();
  for (int i = 0; i < steps; ++i) training.step();
  training.wait();
  return 1e3 * (monotonic_seconds() - start);
}

// Three windows of steps; those that were too short are measured again, longer.
void measure_windows(BenchTraining& training, Series& series, double least_ms) {
  training.take_phases();
  int all = 0;
  while (series.windows.size() < kWindows) {
    const double ms = window_ms(training, series.steps);
    all += series.steps;
    if (ms < least_ms)
      series.steps *= 2;
    else
      series.windows.push_back(ms / series.steps);
  }
  series.step_ms = median(series.windows);
  series.phases["data_wait"] = training.take_phases()["data_wait"] / all;
}

// Whole steps first; then again by phase, which a recorded step does not tell.
Series run_device(BenchTraining& training, const Options& options) {
  const bool asked = options.repeats > 0;
  for (int i = 0; i < options.warmup; ++i) training.step();
  training.wait();
  for (double warm = 0; !asked && warm < kWarmMs;) warm += window_ms(training, 1);
  Series series;
  series.steps = asked ? options.repeats : 1;
  measure_windows(training, series, asked ? 0 : kWindowMs);
  const int steps = std::min(series.steps, kPhaseSteps);
  training.backend().measure_phases(true);
  for (int i = 0; i < steps; ++i) training.step();
  series.phases.merge(per_step(training.take_phases(), steps));
  training.backend().measure_phases(false);
  return series;
}

// What only the host waits for, of a rank on a GPU that has no other ranks.
bool is_host_wait(const std::string& phase) {
  return phase == "stage" || phase == "data_wait" || phase == "exchange";
}

Json phases_beside_floors(const std::map<std::string, double>& phases,
                          const std::map<std::string, double>& floors, bool gpu) {
  Json list = Json::object();
  for (const auto& [name, ms] : phases) {
    list[name] = {{"ms", ms}};
    if (gpu && is_host_wait(name)) list[name]["host"] = true;
    if (const auto floor = floors.find(name); floor != floors.end()) {
      list[name]["floor_ms"] = floor->second;
      list[name]["times_floor"] = ms / floor->second;
    }
  }
  return list;
}

bool is_over(const Json& phase) {
  return !phase.contains("host") && phase.value("times_floor", 0.0) > kExplain;
}

Json over_floor(const Json& phases) {
  Json names = Json::array();
  for (const auto& [name, phase] : phases.items())
    if (is_over(phase)) names.push_back(name);
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
    if (phase.contains("floor_ms"))
      std::printf("   floor %9.3f, %.2f times%s", phase["floor_ms"].get<double>(),
                  phase["times_floor"].get<double>(), is_over(phase) ? " <- over 1.3" : "");
    std::printf("%s\n", phase.contains("host") ? "   (the host waits)" : "");
  }
  if (result.contains("gemm_flops"))
    std::printf("GEMM %.2f TFLOP/s, copy %.1f GB/s\n", result["gemm_flops"].get<double>() / 1e12,
                result["copy_bytes_per_second"].get<double>() / 1e9);
  if (result.contains("h2d_bytes_per_second"))
    std::printf("to the GPU %.1f GB/s\n", result["h2d_bytes_per_second"].get<double>() / 1e9);
  if (result.contains("most_hits"))
    std::printf("the latent that is hit most: %lld activations of a batch\n",
                static_cast<long long>(result["most_hits"].get<int64_t>()));
  std::printf("plan %.1f MB, resident %.1f MB\nrecorded steps of %lld kind(s)\n",
              result["plan_bytes"].get<double>() / 1e6, result["resident_bytes"].get<double>() / 1e6,
              static_cast<long long>(result["recordings"].get<int64_t>()));
}

// The phases, and what this machine can do, unless that is not to be measured.
Json beside_floors(const BenchSetup& setup, const Options& options,
                   const std::map<std::string, double>& phases, bool gpu, int threads) {
  MachineRates rates;
  std::map<std::string, double> floors;
  if (options.floors) {
    rates = gpu ? gpu_rates(setup) : cpu_rates(setup, threads);
    floors = gpu ? gpu_floors(setup, rates) : cpu_floors(setup, rates);
  }
  const Json listed = phases_beside_floors(phases, floors, gpu);
  Json told{{"phases", listed}, {"over_floor", over_floor(listed)}};
  if (!options.floors) return told;
  told["gemm_flops"] = 2 * rates.multiply_adds;
  told["copy_bytes_per_second"] = rates.copied_bytes;
  if (gpu) told["h2d_bytes_per_second"] = rates.uploaded_bytes;
  return told;
}

Json measure(const BenchSetup& setup, const Options& options, const BenchDevice& device, int threads) {
  const auto comm = make_self_communicator();
  const auto set = random_activations(setup.d_in, loader_threads(device.gpu, cores_allowed()));
  const int64_t before = resident(device.gpu);
  Series series;
  Json result;
  {
    BenchTraining training({setup, set, threads, options.same_batch, options.hot},
                           device.gpu ? gpu_device(setup.config.parallel, 60) : cpu_device(threads), *comm);
    series =
        training.backend().is_asynchronous() ? run_device(training, options) : run_host(training, options);
    result["backend"] = training.backend().name();
    result["recordings"] = training.backend().recordings();
    if (setup.config.sae.architecture == "topk") result["most_hits"] = training.most_hits();
    result["plan_bytes"] = planned(training.plan());
    result["resident_bytes"] = resident(device.gpu) - before;
  }
  const auto batch = static_cast<double>(setup.config.train.batch_size);
  Json all{{"activations_per_second", 1e3 * batch / series.step_ms},
           {"step_ms", series.step_ms},
           {"steps", series.steps}};
  if (device.gpu) all["step_ms_windows"] = series.windows;
  // Apart from the training's memory, which may leave little room.
  all.update(beside_floors(setup, options, series.phases, device.gpu, threads));
  all.update({{"device", options.devices},
              {"shape", options.shape.shape},
              {"architecture", options.shape.architecture},
              {"dtype", options.shape.dtype},
              {"threads", threads},
              {"same_batch", options.same_batch},
              {"hot", options.hot}});
  all.update(result);
  return all;
}

int bench_step(Options options) {
  const BenchSetup setup = make_setup(options.shape);
  const BenchDevice device = parse_device(options.devices, true);
  const int64_t most_hot =
      setup.config.sae.architecture == "topk" ? std::min(setup.config.sae.k, setup.config.sae.d_sae) : 0;
  if (options.hot > most_hot)
    fail(ErrorCode::usage, "--hot is {}; accepted: with topk, 0 to k ({} here)", options.hot, most_hot);
  if (device.gpu && options.threads > 0) fail(ErrorCode::usage, "--threads is for CPU ranks");
  if (device.gpu) use_gpu_number(device.index);
  if (options.warmup < 0) options.warmup = device.gpu ? 10 : 2;
  const int threads = device.gpu ? 1 : options.threads > 0 ? options.threads : cores_allowed();
  const Json result = measure(setup, options, device, threads);
  return show(result, options.json, print);
}

}  // namespace

void add_bench_step(CLI::App& bench, Run& run) {
  auto options = std::make_shared<Options>();
  CLI::App* command = bench.add_subcommand("step", "One training step on random activations");
  command->add_option("--shape", options->shape.shape, "batch,d_in,d_sae,k");
  command->add_option("--arch", options->shape.architecture, "topk | relu");
  command->add_option("--dtype", options->shape.dtype, "bf16 | f32");
  command->add_option("--devices", options->devices, "cpu:0 | gpu:K");
  command
      ->add_option("--repeats", options->repeats,
                   "Steps that are measured; 5 on CPUs. On a GPU of each of three windows; "
                   "by default as many as take 0.3 s")
      ->check(CLI::Range(1, 100000));
  command
      ->add_option("--warmup", options->warmup,
                   "Steps before these; 2 on CPUs, 10 on a GPU, and 0.5 s there without --repeats")
      ->check(CLI::Range(0, 1000));
  command->add_option("--threads", options->threads, "0: the cores of the affinity mask")
      ->check(CLI::Range(0, 1024));
  command->add_flag(
      "--same-batch", options->same_batch,
      "The loader fills its slots once, so that the host's memory does not limit a fast device");
  command
      ->add_option("--hot", options->hot,
                   "So many latents are active in every activation, as some are in real data")
      ->check(CLI::NonNegativeNumber);
  command->add_flag("!--no-floors", options->floors,
                    "Does not measure the machine's rates, so that a profiler sees the training alone");
  add_json_option(*command, options->json);
  command->callback([options, &run] { run = [options] { return bench_step(*options); }; });
}

}  // namespace saemill
