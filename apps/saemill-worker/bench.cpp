// bench step: what one training step costs on this machine, by phase, beside what its arithmetic and memory
// traffic must cost.
#include <omp.h>
#include <sched.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <sstream>

#include "commands.h"
#include "common/base/clock.h"
#include "common/base/random.h"
#include "common/plan/tiles.h"
#include "engine/backend/cpu/gemm.h"
#include "engine/train/memory.h"
#include "engine/train/step.h"

namespace saemill {
namespace {

struct Options {
  std::string shape = "4096,768,24576,32", architecture = "topk", dtype = "bf16";
  int repeats = 5, warmup = 2, threads = 0;
  bool json = false;
};

// Normal values, a table of rows over and over.
class RandomActivations final : public ActivationSet {
 public:
  explicit RandomActivations(int64_t d_in) : d_in_(d_in), values_(static_cast<size_t>(kRows * d_in)) {
    for (size_t i = 0; i < values_.size(); ++i) values_[i] = static_cast<float>(random_normal(1, 1, i));
  }
  int64_t rows() const override { return kRows; }
  int64_t d_in() const override { return d_in_; }
  int64_t files() const override { return 0; }
  int64_t bytes() const override { return static_cast<int64_t>(values_.size() * sizeof(float)); }
  std::string dtype() const override { return "F32"; }
  std::string tensor() const override { return ""; }
  const std::map<std::string, std::string>& metadata() const override { return metadata_; }
  void read(int64_t row, float scale, std::span<float> out) const override {
    const float* from = values_.data() + row * d_in_;
    for (size_t i = 0; i < out.size(); ++i) out[i] = scale * from[i];
  }

 private:
  static constexpr int64_t kRows = 8192;
  int64_t d_in_;
  std::vector<float> values_;
  std::map<std::string, std::string> metadata_;
};

// Multiply-adds per second of the encoder's own tile with everything in cache, on all threads.
double gemm_rate(int64_t n, int64_t chunk, DType dtype, int threads) {
  const Gemm gemm({.m = kRowTile, .n = chunk, .k = n, .dtype = dtype});
  int64_t calls = 0;
  const double start = monotonic_seconds();
#pragma omp parallel num_threads(threads) reduction(+ : calls)
  {
    const auto size = dtype_size(dtype);
    std::vector<std::byte> a(static_cast<size_t>(kRowTile * n) * size), b(gemm.packed_bytes()),
        scratch(gemm.scratch_bytes() + 64);
    std::vector<float> c(static_cast<size_t>(kRowTile * chunk));
    while (monotonic_seconds() - start < 0.4) gemm.run(a.data(), b.data(), c.data(), scratch.data()), ++calls;
  }
  return static_cast<double>(calls * kRowTile * chunk * n) / (monotonic_seconds() - start);
}

// Bytes per second, read plus written, of copying what no cache holds.
double copy_rate(int threads) {
  constexpr size_t kBytes = size_t{128} << 20;
  std::vector<std::vector<std::byte>> from(static_cast<size_t>(threads)), to(from);
  double best = 0;
  for (int round = 0; round < 3; ++round) {
    double start = 0;
#pragma omp parallel num_threads(threads)
    {
      const auto t = static_cast<size_t>(omp_get_thread_num());
      from[t].resize(kBytes), to[t].resize(kBytes);
#pragma omp barrier
#pragma omp single
      start = monotonic_seconds();
      std::memcpy(to[t].data(), from[t].data(), kBytes);
    }
    best = std::max(best, 2.0 * static_cast<double>(kBytes) * threads / (monotonic_seconds() - start));
  }
  return best;
}

RunConfig bench_config(const Options& options, std::vector<int64_t>& shape) {
  std::stringstream text(options.shape);
  for (std::string field; std::getline(text, field, ',');)
    shape.push_back(field.empty() || field.find_first_not_of("0123456789") != std::string::npos
                        ? 0
                        : std::stoll(field.substr(0, 15)));
  if (shape.size() != 4 || *std::min_element(shape.begin(), shape.end()) < 1)
    fail(ErrorCode::usage, "--shape is \"{}\"; accepted: B,n,M,k, whole numbers from 1", options.shape);
  RunConfig config;
  config.sae.architecture = options.architecture;
  config.sae.d_sae = shape[2];
  config.sae.k = shape[3];
  config.train.batch_size = shape[0];
  config.train.dtype = options.dtype;
  config.train.steps = options.repeats + options.warmup;
  config.train.lr = 1e-4;
  config.sae.decoder_bias_init = "zeros";
  if (options.dtype != "bf16" && options.dtype != "f32")
    fail(ErrorCode::usage, "--dtype is \"{}\"; accepted: bf16, f32", options.dtype);
  return config;
}

// What a phase must cost: its multiply-adds at the GEMM's rate, or its bytes at the rate of a copy.
nlohmann::ordered_json floors(const RunConfig& config, int64_t n, int threads) {
  const auto B = static_cast<double>(config.train.batch_size), M = static_cast<double>(config.sae.d_sae),
             k = static_cast<double>(config.sae.k), width = static_cast<double>(n),
             low = config.train.dtype == "bf16" ? 2.0 : 4.0;
  const double gemm = gemm_rate(n, latent_chunk(config.sae.d_sae),
                                config.train.dtype == "bf16" ? DType::bf16 : DType::f32, threads),
               copy = copy_rate(threads);
  nlohmann::ordered_json result{{"gemm_flops", 2 * gemm}, {"copy_bytes_per_second", copy}};
  result["select"] = 1e3 * B * width * M / gemm;
  result["decode"] = 1e3 * B * width * (4 * k + 4 + low) / copy;
  result["latents"] = 1e3 * (width * M * (48 + low) + 2 * B * width * low) / copy;
  result["center"] = 1e3 * B * width * (4 + low) / copy;
  return result;
}

int bench_step(const Options& options) {
  std::vector<int64_t> shape;
  const RunConfig config = bench_config(options, shape);
  const int64_t n = shape[1];
  cpu_set_t cores;
  const int threads = options.threads > 0                                 ? options.threads
                      : ::sched_getaffinity(0, sizeof cores, &cores) == 0 ? CPU_COUNT(&cores)
                                                                          : 1;
  const auto comm = make_self_communicator();
  auto set = std::make_shared<RandomActivations>(n);
  const auto backend =
      make_cpu_backend(n, config.sae.d_sae, options.dtype == "bf16" ? DType::bf16 : DType::f32, threads);
  const Plan plan = make_plan({config, n, 1, threads, backend->packed_chunk_bytes()});
  const ProcessMemory before = process_memory();
  const Arena arena(plan, *comm, *backend);
  const auto architecture = make_architecture(config.sae);
  TrainingState state(arena, share_of(plan.micro_batch_size, config.sae.d_sae, 0, 1));
  initialize_state(state, config, *architecture, sample_data(config, *set), *backend, *comm);
  backend->pack(state.weights, state.packed, 0, config.sae.d_sae);
  const auto exchange = make_cpu_exchange(*comm);
  Step step({config, plan, arena, *architecture, *backend, *comm, *exchange, state});
  std::vector<std::span<float>> slots;
  for (const char* name : {"x.0", "x.1"})
    slots.emplace_back(arena[name].as<float>(), arena[name].bytes() / sizeof(float));
  const int64_t parts = config.train.batch_size / plan.micro_batch_size;
  BatchLoader loader(
      set, {0, plan.micro_batch_size, 0, plan.micro_batch_size, 0, config.train.steps * parts, 1.0f}, slots);
  std::vector<double> times;
  for (int64_t i = 0; i < config.train.steps; ++i) {
    if (i == options.warmup) step.take_phases();
    StepInput input;
    input.adam = {config.train.lr, 0.9, 0.999, 1e-8, i + 1};
    input.l1 = config.sae.l1_coefficient;
    const double start = monotonic_seconds();
    step.run(loader, input);
    if (i >= options.warmup) times.push_back(1e3 * (monotonic_seconds() - start));
  }
  const ProcessMemory after = process_memory();
  const auto phases = step.take_phases();
  std::sort(times.begin(), times.end());
  const double median = times[times.size() / 2];
  const auto floor_ms = floors(config, n, threads);
  nlohmann::ordered_json list;
  for (const auto& [name, ms] : phases) {
    list[name] = {{"ms", ms / options.repeats}};
    if (floor_ms.contains(name)) list[name]["floor_ms"] = floor_ms[name];
  }
  const nlohmann::ordered_json result{
      {"activations_per_second", 1e3 * static_cast<double>(shape[0]) / median},
      {"step_ms", median},
      {"phases", list},
      {"backend", backend->name()},
      {"threads", threads},
      {"gemm_flops", floor_ms["gemm_flops"]},
      {"copy_bytes_per_second", floor_ms["copy_bytes_per_second"]},
      {"plan_bytes", plan.total_bytes()},
      {"resident_bytes", after.anonymous + after.shared - before.anonymous - before.shared}};
  if (options.json) return std::printf("%s\n", result.dump().c_str()), 0;
  std::printf("%s, %d thread(s)\n%.1f ms a step, %.0f activations/s\n", backend->name().c_str(), threads,
              median, result["activations_per_second"].get<double>());
  for (const auto& [name, phase] : list.items())
    std::printf("  %-14s %9.2f ms%s\n", name.c_str(), phase["ms"].get<double>(),
                phase.contains("floor_ms")
                    ? fmt::format("   (floor {:.2f})", phase["floor_ms"].get<double>()).c_str()
                    : "");
  std::printf("plan %.1f MB, resident %.1f MB\n", static_cast<double>(plan.total_bytes()) / 1e6,
              result["resident_bytes"].get<double>() / 1e6);
  return 0;
}

}  // namespace

void add_bench(CLI::App& app, Run& run) {
  auto options = std::make_shared<Options>();
  CLI::App* bench = app.add_subcommand("bench", "Measures this machine");
  bench->require_subcommand(1);
  CLI::App* command = bench->add_subcommand("step", "One training step on random activations");
  command->add_option("--shape", options->shape, "batch,d_in,d_sae,k");
  command->add_option("--arch", options->architecture, "topk | relu");
  command->add_option("--dtype", options->dtype, "bf16 | f32");
  command->add_option("--repeats", options->repeats)->check(CLI::Range(1, 1000));
  command->add_option("--warmup", options->warmup)->check(CLI::Range(0, 1000));
  command->add_option("--threads", options->threads, "0: the cores of the affinity mask");
  command->add_flag("--json", options->json, "One JSON object on one line");
  command->callback([options, &run] { run = [options] { return bench_step(*options); }; });
}

}  // namespace saemill
