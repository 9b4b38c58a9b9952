// bench scaling: the same training on more and more ranks.
#include <array>
#include <cstdio>

#include "bench_commands.h"
#include "bench_ranks.h"
#include "bench_svg.h"
#include "bench_training.h"
#include "common/base/clock.h"
#include "common/base/file.h"
#include "engine/gpu/runtime.h"
#include "engine/train/memory.h"

namespace saemill {
namespace {

using Json = nlohmann::ordered_json;

struct Options {
  BenchShape shape;
  std::vector<int> ranks{1, 2, 4};
  std::string devices = "cpu", svg;
  int ranks_per_device = 1, threads = 0, repeats = 0;
  bool json = false;
};

// Of all ranks together: their own memory, and once what they share.
struct Held {
  double own = 0, shared = 0;
};

Held held(const RanksOptions& ranks) {
  if (!ranks.gpu) {
    const ProcessMemory memory = process_memory();
    return {static_cast<double>(memory.anonymous), static_cast<double>(memory.shared)};
  }
  const gpu::MemoryInfo info = gpu::memory_info();
  const auto used = static_cast<double>(info.total_bytes - info.free_bytes);
  return {ranks.ranks_per_device > 1 ? used / ranks.ranks : used, 0};
}

double memory_per_rank(Communicator& comm, const Held& before, const Held& after) {
  std::array<double, 1> own{after.own - before.own}, shared{after.shared - before.shared};
  comm.all_reduce(std::span<double>(own), Reduce::sum);
  comm.all_reduce(std::span<double>(shared), Reduce::max);
  return (own[0] + shared[0]) / comm.size();
}

Json measure_rank(const Options& options, const RanksOptions& ranks, const BenchSetup& setup,
                  const std::shared_ptr<const ActivationSet>& set, BenchRank& rank) {
  Communicator& comm = rank.comm;
  const Held before = held(ranks);
  comm.barrier();
  BenchTraining training({setup, set, ranks.threads, false}, rank.device, comm);
  for (int i = 0; i < (ranks.gpu ? 3 : 2); ++i) training.step();
  training.wait();
  training.exchange().take_cost();
  comm.barrier();
  const double start = monotonic_seconds();
  for (int i = 0; i < options.repeats; ++i) training.step();
  training.wait();
  const double step_ms = 1e3 * (monotonic_seconds() - start) / options.repeats;
  const ExchangeCost cost = training.exchange().take_cost();
  const double memory = memory_per_rank(comm, before, held(ranks));
  std::array<double, 4> sums{step_ms, static_cast<double>(cost.bytes_received), cost.busy_ms,
                             cost.exposed_ms};
  comm.all_reduce(std::span<double>(sums), Reduce::sum);
  for (double& sum : sums) sum /= comm.size();
  Json point{{"ranks", comm.size()},
             {"activations_per_second", 1e3 * static_cast<double>(setup.config.train.batch_size) / sums[0]},
             {"speed_up", 1.0},
             {"efficiency", 1.0},
             {"step_ms", sums[0]},
             {"bytes_per_step", sums[1] / options.repeats},
             {"comm_ms", sums[2] / options.repeats},
             {"exposed_comm_ms", sums[3] / options.repeats},
             {"memory_bytes_per_rank", memory},
             {"backend", training.backend().name()},
             {"exchange", training.exchange().name()}};
  comm.barrier();  // nobody frees what others may still read
  return point;
}

// Relative to the first, which need not be one rank.
void compare(Json& points) {
  const double first = points[0]["activations_per_second"], ranks = points[0]["ranks"];
  for (Json& point : points) {
    const double speed_up = point["activations_per_second"].get<double>() / first;
    point["speed_up"] = speed_up;
    point["efficiency"] = speed_up * ranks / point["ranks"].get<double>();
  }
}

std::string note(const Json& points, bool gpu) {
  std::string shared;
  for (const Json& point : points)
    if (point["shares_devices"].get<bool>())
      shared += (shared.empty() ? "" : ", ") + std::to_string(point["ranks"].get<int>());
  if (shared.empty()) return "";
  return fmt::format("{} ranks share {}: the figure shows correctness, not speed", shared,
                     gpu ? "one GPU" : fmt::format("{} core(s)", cores_allowed()));
}

void print(const Json& result) {
  std::printf("%s, %s, %s; %s\n", result["shape"].get<std::string>().c_str(),
              result["architecture"].get<std::string>().c_str(), result["dtype"].get<std::string>().c_str(),
              result["points"][0]["backend"].get<std::string>().c_str());
  std::printf("ranks  activations/s  speed-up  efficiency  MB/step/rank  comm_ms  exposed  MB/rank\n");
  for (const Json& point : result["points"]) {
    const auto value = [&](const char* key) { return point[key].get<double>(); };
    std::printf("%5d%s %14.0f %9.2f %11.2f %13.3f %8.2f %8.2f %8.1f\n", point["ranks"].get<int>(),
                point["shares_devices"].get<bool>() ? "*" : " ", value("activations_per_second"),
                value("speed_up"), value("efficiency"), value("bytes_per_step") / 1e6, value("comm_ms"),
                value("exposed_comm_ms"), value("memory_bytes_per_rank") / 1e6);
  }
  if (const std::string text = result["note"]; !text.empty()) std::printf("* %s\n", text.c_str());
}

void write_svg(const Options& options, const Json& result) {
  std::vector<CurvePoint> points;
  for (const Json& point : result["points"])
    points.push_back(
        {point["ranks"], point["speed_up"], point["activations_per_second"], point["shares_devices"]});
  const std::string title = fmt::format("saemill bench scaling: {} {} {} on {}", options.shape.shape,
                                        options.shape.architecture, options.shape.dtype, options.devices);
  write_file_atomically(real_file_system(), options.svg, scaling_svg(title, points));
}

int bench_scaling(Options options) {
  const BenchSetup setup = make_setup(options.shape);
  const bool gpu = parse_device(options.devices, false).gpu;
  if (gpu && options.threads > 0) fail(ErrorCode::usage, "--threads is for CPU ranks");
  const int most = *std::max_element(options.ranks.begin(), options.ranks.end());
  RanksOptions ranks{most, gpu, options.ranks_per_device, options.threads};
  // The same for every number of ranks: a rank is what is added.
  if (ranks.threads == 0) ranks.threads = gpu ? 1 : std::max(1, cores_allowed() / std::max(most, 1));
  for (const int count : options.ranks) ranks.ranks = count, check_ranks(ranks);
  if (options.repeats == 0) options.repeats = gpu ? 30 : 5;
  const auto set = random_activations(setup.d_in, loader_threads(gpu, cores_allowed() / std::max(most, 1)));
  Json points = Json::array();
  for (const int count : options.ranks) {
    ranks.ranks = count;
    Json point =
        on_ranks(ranks, [&](BenchRank& rank) { return measure_rank(options, ranks, setup, set, rank); });
    point["shares_devices"] = shares_devices(ranks);
    points.push_back(point);
  }
  compare(points);
  const Json result{{"shape", options.shape.shape},
                    {"architecture", options.shape.architecture},
                    {"dtype", options.shape.dtype},
                    {"devices", options.devices},
                    {"ranks_per_device", options.ranks_per_device},
                    {"threads_per_rank", ranks.threads},
                    {"cores", cores_allowed()},
                    {"steps", options.repeats},
                    {"points", points},
                    {"note", note(points, gpu)}};
  if (!options.svg.empty()) write_svg(options, result);
  return show(result, options.json, print);
}

}  // namespace

void add_bench_scaling(CLI::App& bench, Run& run) {
  auto options = std::make_shared<Options>();
  CLI::App* command = bench.add_subcommand("scaling", "The same training on more and more ranks");
  command->add_option("--ranks", options->ranks, "1,2,4,8")->delimiter(',');
  command->add_option("--shape", options->shape.shape, "batch,d_in,d_sae,k; the batch is all ranks'");
  command->add_option("--arch", options->shape.architecture, "topk | relu");
  command->add_option("--dtype", options->shape.dtype, "bf16 | f32");
  command->add_option("--devices", options->devices, "cpu | gpu: one rank on each, by NCCL");
  command
      ->add_option("--ranks-per-device", options->ranks_per_device,
                   "So many ranks at most share the first GPU")
      ->check(CLI::Range(1, 64));
  command->add_option("--threads", options->threads, "Of a CPU rank; 0: cores / the most ranks")
      ->check(CLI::Range(0, 1024));
  command->add_option("--repeats", options->repeats, "Steps that are measured; 5 on CPUs, 30 on GPUs")
      ->check(CLI::Range(1, 100000));
  command->add_option("--svg", options->svg, "Write the curve to this file");
  add_json_option(*command, options->json);
  command->callback([options, &run] { run = [options] { return bench_scaling(*options); }; });
}

}  // namespace saemill
