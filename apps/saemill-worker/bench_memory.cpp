// bench memory: what one rank holds, by phase of its life and by kind of buffer, beside the plan.
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <thread>

#include "bench_commands.h"
#include "bench_training.h"
#include "common/base/file.h"
#include "common/base/temporary_folder.h"
#include "engine/gpu/runtime.h"
#include "engine/train/checkpointer.h"
#include "engine/train/memory.h"
#include "rank_device.h"

namespace saemill {
namespace {

using Json = nlohmann::ordered_json;

struct Options {
  BenchShape shape;
  std::string devices = "cpu:0";
  int threads = 0;
  bool json = false;
};

struct Held {
  int64_t host = 0;    // RssAnon + RssShmem of this process
  int64_t device = 0;  // of the GPU, all processes together
};

Held held(bool gpu) {
  const ProcessMemory memory = process_memory();
  Held now{memory.anonymous + memory.shared, 0};
  if (gpu) {
    const gpu::MemoryInfo info = gpu::memory_info();
    now.device = static_cast<int64_t>(info.total_bytes - info.free_bytes);
  }
  return now;
}

// The most that the host's memory held during `work`. A GPU's is looked at afterwards: nothing is freed
// there.
Held high_water(bool gpu, const std::function<void()>& work) {
  std::atomic<bool> done{false};
  int64_t most = 0;
  std::thread watcher([&] {
    while (!done) {
      most = std::max(most, held(false).host);
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
  });
  try {
    work();
  } catch (...) {
    done = true;
    watcher.join();
    throw;
  }
  done = true;
  watcher.join();
  Held now = held(gpu);
  now.host = std::max(now.host, most);
  return now;
}

// A checkpoint takes the memory of its copy, and that of writing it; its bytes need not reach a disk.
class NoFile final : public OutputFile {
 public:
  void write(std::span<const std::byte>) override {}
  void sync() override {}
  void close() override {}
};
class NoFiles final : public FileSystem {
 public:
  std::unique_ptr<OutputFile> create(const fs::path&) override { return std::make_unique<NoFile>(); }
  void rename(const fs::path&, const fs::path&) override {}
  void sync_folder(const fs::path&) override {}
};

void save_checkpoint(BenchTraining& training, const BenchSetup& setup, Communicator& comm) {
  const TemporaryFolder folder;
  NoFiles files;
  SilentReporter reporter;
  Checkpointer checkpointer(files, folder.path, setup.config.checkpoint, comm, reporter, training.backend(),
                            training.arena()["checkpoint"]);
  checkpointer.start(training.state());
  if (!checkpointer.finish()) fail(ErrorCode::retry, "the checkpoint failed");
}

// Bytes of whole pages of [data, data + bytes) that this process holds.
int64_t resident_bytes(const std::byte* data, size_t bytes) {
  const auto page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  const size_t begin = reinterpret_cast<uintptr_t>(data) / page * page;
  const size_t end = (reinterpret_cast<uintptr_t>(data) + bytes + page - 1) / page * page;
  std::vector<unsigned char> pages((end - begin) / page);
  if (pages.empty() || ::mincore(reinterpret_cast<void*>(begin), end - begin, pages.data()) != 0) return 0;
  size_t count = 0;
  for (const unsigned char flags : pages) count += flags & 1u;
  return static_cast<int64_t>(std::min(count * page, bytes));
}

// By category; what is in the memory of a device, or of the backend, cannot be asked buffer by buffer.
Json buffers(const BenchTraining& training) {
  const Plan& plan = training.plan();
  const bool gpu = plan.memory == DeviceMemory::gpu;
  Json categories = Json::object();
  for (const PlannedBuffer& buffer : plan.buffers) {
    const bool asked = !buffer.of_backend && !(gpu && !buffer.host);
    const std::string name = buffer.category +
                             (!gpu                           ? ""
                              : buffer.host || buffer.shared ? ", host"
                                                             : ", gpu") +
                             (buffer.of_backend ? ", scratch" : "");
    Json& entry = categories[name];
    if (entry.is_null())
      entry = {{"buffers", 0}, {"plan_bytes", 0}, {"resident_bytes", asked ? Json(0) : Json()}};
    entry["buffers"] = entry["buffers"].get<int>() + 1;
    entry["plan_bytes"] = entry["plan_bytes"].get<int64_t>() + buffer.bytes();
    if (asked)
      entry["resident_bytes"] =
          entry["resident_bytes"].get<int64_t>() +
          resident_bytes(training.arena()[buffer.name].data, static_cast<size_t>(buffer.bytes()));
  }
  return categories;
}

// What the plan gives to the host and to the device.
Held planned(const Plan& plan) {
  Held sum;
  for (const PlannedBuffer& buffer : plan.buffers)
    (plan.memory == DeviceMemory::cpu || buffer.host ? sum.host : sum.device) += buffer.bytes();
  return sum;
}

Json phase(const char* name, const Held& now, const Held& before) {
  return {
      {"phase", name}, {"host_bytes", now.host - before.host}, {"device_bytes", now.device - before.device}};
}

Json measure(const BenchSetup& setup, const Options& options, bool gpu, int threads) {
  const auto comm = make_self_communicator();
  const auto set = random_activations(setup.d_in, loader_threads(gpu, cores_allowed()));
  const Held before = held(gpu);
  std::optional<BenchTraining> training;
  Json phases = Json::array();
  const auto watch = [&](const char* name, const std::function<void()>& work) {
    phases.push_back(phase(name, high_water(gpu, work), before));
  };
  watch("start", [&] {
    training.emplace(BenchTrainingOptions{setup, set, threads, false},
                     gpu ? gpu_device(setup.config.parallel, 60) : cpu_device(threads), *comm);
  });
  watch("first step", [&] { training->step(), training->wait(); });
  watch("log step", [&] { training->step(true), training->wait(); });
  watch("checkpoint", [&] { save_checkpoint(*training, setup, *comm); });
  const Held plan = planned(training->plan());
  return {{"backend", training->backend().name()},
          {"device", options.devices},
          {"shape", options.shape.shape},
          {"plan", {{"host_bytes", plan.host}, {"device_bytes", plan.device}}},
          {"phases", phases},
          {"buffers", buffers(*training)}};
}

void print(const Json& result) {
  const auto megabytes = [](const Json& bytes) { return bytes.get<double>() / 1e6; };
  std::printf("%s\n%-24s %12s %12s\n", result["backend"].get<std::string>().c_str(), "", "host MB",
              "device MB");
  const auto line = [&](const std::string& name, const Json& sizes) {
    std::printf("%-24s %12.1f %12.1f\n", name.c_str(), megabytes(sizes["host_bytes"]),
                megabytes(sizes["device_bytes"]));
  };
  line("plan", result["plan"]);
  for (const Json& one : result["phases"]) line(one["phase"], one);
  std::printf("%-24s %12s %12s\n", "buffers", "plan MB", "resident MB");
  for (const auto& [name, entry] : result["buffers"].items())
    std::printf("%-24s %12.1f %12s\n", name.c_str(), megabytes(entry["plan_bytes"]),
                entry["resident_bytes"].is_null()
                    ? "-"
                    : fmt::format("{:.1f}", megabytes(entry["resident_bytes"])).c_str());
}

int bench_memory(const Options& options) {
  const BenchSetup setup = make_setup(options.shape);
  const BenchDevice device = parse_device(options.devices, true);
  if (device.gpu && options.threads > 0) fail(ErrorCode::usage, "--threads is for CPU ranks");
  if (device.gpu) use_gpu_number(device.index);
  const int threads = device.gpu ? 1 : options.threads > 0 ? options.threads : cores_allowed();
  const Json result = measure(setup, options, device.gpu, threads);
  return show(result, options.json, print);
}

}  // namespace

void add_bench_memory(CLI::App& bench, Run& run) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      bench.add_subcommand("memory", "What one rank holds, by phase and buffer, beside the plan");
  command->add_option("--shape", options->shape.shape, "batch,d_in,d_sae,k")->required();
  command->add_option("--arch", options->shape.architecture, "topk | relu");
  command->add_option("--dtype", options->shape.dtype, "bf16 | f32");
  command->add_option("--devices", options->devices, "cpu:0 | gpu:K");
  command->add_option("--threads", options->threads, "0: the cores of the affinity mask")
      ->check(CLI::Range(0, 1024));
  add_json_option(*command, options->json);
  command->callback([options, &run] { run = [options] { return bench_memory(*options); }; });
}

}  // namespace saemill
