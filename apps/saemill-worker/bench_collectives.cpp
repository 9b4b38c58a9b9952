// bench collectives: what ranks need to tell each other something, by size.
#include <array>
#include <cstdio>
#include <cstring>

#include "bench_commands.h"
#include "bench_ranks.h"
#include "bench_training.h"
#include "common/base/clock.h"

namespace saemill {
namespace {

using Json = nlohmann::ordered_json;

struct Options {
  int ranks = 2, ranks_per_device = 1, max_mb = 256;
  std::string devices = "cpu";
  bool json = false;
};

constexpr int64_t kRow = 64;  // bytes
constexpr int64_t kLeast = 1024, kMegabyte = 1 << 20;

// Enough for a steady figure of what is small, and not too long for what is large.
int64_t rounds_of(int64_t bytes) {
  return std::clamp<int64_t>(64 * kMegabyte / bytes, 5, 1000);
}

// Microseconds of one call, of the slowest rank.
template <typename Call>
double microseconds(Communicator& comm, int64_t rounds, Call&& call) {
  call();
  comm.barrier();
  const double start = monotonic_seconds();
  for (int64_t i = 0; i < rounds; ++i) call();
  std::array<double, 1> slowest{1e6 * (monotonic_seconds() - start) / static_cast<double>(rounds)};
  comm.all_reduce(std::span<double>(slowest), Reduce::max);
  return slowest[0];
}

struct Gather {
  BenchRank& rank;
  RankDevice& device;
  std::byte* memory;
  std::byte* copy;  // of a CPU rank
};

Gathered evenly(std::byte* memory, int64_t bytes, int ranks) {
  Gathered gathered{{memory, DType::u8, std::max<int64_t>(bytes / kRow, ranks), kRow}, {}};
  for (int r = 0; r <= ranks; ++r) gathered.bounds.push_back(gathered.view.rows * r / ranks);
  return gathered;
}

// Shared memory moves nothing until it is read, so a CPU rank also writes its part and copies the others'.
double gather_on_host(const Gather& gather, const Gathered& what, int64_t rounds) {
  Exchange& exchange = *gather.device.exchange;
  const auto begin = static_cast<size_t>(what.bounds[static_cast<size_t>(gather.rank.comm.rank())] * kRow),
             end = static_cast<size_t>(what.bounds[static_cast<size_t>(gather.rank.comm.rank()) + 1] * kRow);
  int value = 0;
  return microseconds(gather.rank.comm, rounds, [&] {
    std::memset(what.view.data + begin, ++value, end - begin);
    exchange.gather({what});
    std::memcpy(gather.copy, what.view.data, begin);
    std::memcpy(gather.copy + end, what.view.data + end, what.view.bytes() - end);
    exchange.fence();
  });
}

struct DeviceCost {
  double latency_us = 0;
  double host_us = 0;  // in which the host enqueues: a step of more operations than fit into it is the host's
};

DeviceCost gather_on_device(const Gather& gather, const Gathered& what, int64_t rounds) {
  Exchange& exchange = *gather.device.exchange;
  std::array<std::byte, 8> word{};
  const auto wait = [&] {
    exchange.finish();
    gather.device.backend->read(word.data(), what.view.data, word.size());
  };
  exchange.gather({what});
  wait();
  std::array<double, 1> host{};
  const double all = microseconds(gather.rank.comm, 1, [&] {
    host[0] = 0;
    for (int64_t i = 0; i < rounds; ++i) {
      const double start = monotonic_seconds();
      exchange.gather({what});
      host[0] += 1e6 * (monotonic_seconds() - start);
      exchange.fence();
    }
    wait();
  });
  gather.rank.comm.all_reduce(std::span<double>(host), Reduce::max);
  return {all / static_cast<double>(rounds), host[0] / static_cast<double>(rounds)};
}

// One line of the result. On CPUs the host is what moves the bytes.
Json measure_gather(const Gather& gather, const Gathered& what) {
  const int ranks = gather.rank.comm.size();
  const auto bytes = static_cast<int64_t>(what.view.bytes());
  const int64_t rounds = rounds_of(bytes);
  Json line{{"bytes", bytes}};
  if (gather.device.memory == DeviceMemory::gpu) {
    const DeviceCost cost = gather_on_device(gather, what, rounds);
    line["latency_us"] = cost.latency_us;
    line["host_us"] = cost.host_us;
  } else {
    line["latency_us"] = gather_on_host(gather, what, rounds);
  }
  // What every rank receives, as NCCL's tests count it.
  const double received = static_cast<double>(bytes) * (ranks - 1) / ranks;
  line["bus_bytes_per_second"] = 1e6 * received / line["latency_us"].get<double>();
  return line;
}

Json measure_gathers(const Gather& gather, int64_t most) {
  const int ranks = gather.rank.comm.size();
  Json list = Json::array();
  for (int64_t bytes = kLeast; bytes <= most; bytes *= 4)
    list.push_back(measure_gather(gather, evenly(gather.memory, bytes, ranks)));
  return list;
}

Json measure_reductions(Communicator& comm) {
  Json list = Json::array();
  for (const size_t count : {1u, 128u, 16384u}) {
    std::vector<double> values(count);
    const double us =
        microseconds(comm, 200, [&] { comm.all_reduce(std::span<double>(values), Reduce::sum); });
    list.push_back({{"bytes", count * sizeof(double)}, {"latency_us", us}});
  }
  return list;
}

Json measure_rank(int64_t most, BenchRank& rank) {
  RankDevice device = rank.device(256, 1024, "f32", &rank.comm);
  const auto bytes = static_cast<size_t>(most + kRow * rank.comm.size());
  std::vector<std::byte> copy;
  std::byte* memory = nullptr;
  if (device.memory == DeviceMemory::gpu) {
    memory = device.backend->allocate(bytes);
  } else {
    memory = rank.comm.allocate(bytes);
    copy.resize(bytes);
  }
  Json result{{"exchange", device.exchange->name()},
              {"gather", measure_gathers({rank, device, memory, copy.data()}, most)},
              {"barrier_us", microseconds(rank.comm, 1000, [&] { rank.comm.barrier(); })},
              {"all_reduce", measure_reductions(rank.comm)}};
  device.exchange->finish();
  rank.comm.barrier();
  return result;
}

void print(const Json& result) {
  std::printf("%d ranks, %s\n     bytes  gather us   GB/s (bus)  of the host us\n",
              result["ranks"].get<int>(), result["exchange"].get<std::string>().c_str());
  for (const Json& line : result["gather"]) {
    std::printf("%10lld %10.1f %12.3f", static_cast<long long>(line["bytes"].get<int64_t>()),
                line["latency_us"].get<double>(), line["bus_bytes_per_second"].get<double>() / 1e9);
    if (line.contains("host_us")) std::printf(" %15.1f", line["host_us"].get<double>());
    std::printf("\n");
  }
  std::printf("of the hosts: barrier %.1f us\n", result["barrier_us"].get<double>());
  for (const Json& line : result["all_reduce"])
    std::printf("  all_reduce of %lld bytes %.1f us\n", static_cast<long long>(line["bytes"].get<int64_t>()),
                line["latency_us"].get<double>());
  if (const std::string text = result["note"]; !text.empty()) std::printf("%s\n", text.c_str());
}

int bench_collectives(const Options& options) {
  const bool gpu = parse_device(options.devices, false).gpu;
  const RanksOptions ranks{options.ranks, gpu, options.ranks_per_device, 1};
  if (options.ranks < 2) fail(ErrorCode::usage, "--ranks is {}; accepted: 2 or more", options.ranks);
  check_ranks(ranks);
  const Json measured =
      on_ranks(ranks, [&](BenchRank& rank) { return measure_rank(options.max_mb * kMegabyte, rank); });
  Json result{
      {"ranks", options.ranks},
      {"devices", options.devices},
      {"ranks_per_device", options.ranks_per_device},
      {"note", shares_devices(ranks) ? "ranks share a device: the figures show correctness, not speed" : ""}};
  result.update(measured);
  return show(result, options.json, print);
}

}  // namespace

void add_bench_collectives(CLI::App& bench, Run& run) {
  auto options = std::make_shared<Options>();
  CLI::App* command = bench.add_subcommand("collectives", "Latency and bandwidth between ranks, by size");
  command->add_option("--ranks", options->ranks, "2 or more");
  command->add_option("--devices", options->devices, "cpu | gpu: one rank on each, by NCCL");
  command
      ->add_option("--ranks-per-device", options->ranks_per_device,
                   "So many ranks at most share the first GPU")
      ->check(CLI::Range(1, 64));
  command->add_option("--max-mb", options->max_mb, "The largest size, in 2^20 bytes")
      ->check(CLI::Range(1, 4096));
  add_json_option(*command, options->json);
  command->callback([options, &run] { run = [options] { return bench_collectives(*options); }; });
}

}  // namespace saemill
