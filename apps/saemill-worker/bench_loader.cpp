// bench loader: how fast batches become ready, from files that lie in the page cache, or with --cold on disk
// alone, and from a table in memory, beside a plain copy of as many bytes by as many threads. Needs no GPU.
#include <fcntl.h>
#include <omp.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "bench_commands.h"
#include "bench_training.h"
#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/random.h"
#include "common/base/temporary_folder.h"
#include "common/formats/safetensors.h"

namespace saemill {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kRoundBatches = 10;

struct Options {
  std::vector<std::string> sizes{"4096x768", "8192x2304", "8192x4096"}, types{"F32", "F16", "BF16", "table"};
  std::vector<int> threads;
  std::string folder;
  int64_t megabytes = 512;
  int batches = 50;
  int64_t block_rows = 1, window_blocks = 4096;
  bool cold = false, json = false;
  DataOrder order(int64_t rows) const { return {rows, 0, block_rows, window_blocks}; }
};

struct Size {
  int64_t rows = 0, d_in = 0;  // of a batch
};

Size parse_size(const std::string& text) {
  Size size;
  int used = 0;
  if (std::sscanf(text.c_str(), "%9ldx%9ld%n", &size.rows, &size.d_in, &used) != 2 ||
      used != static_cast<int>(text.size()) || size.rows < 1 || size.d_in < 1)
    fail(ErrorCode::usage, "--sizes has \"{}\"; accepted: ROWSxWIDTH, e.g. 4096x768", text);
  return size;
}

int64_t rows_of_file(const Options& options, const std::string& type, Size size) {
  return std::max(size.rows, (options.megabytes << 20) / (size.d_in * (type == "F32" ? 4 : 2)));
}

// A shard of finite values, any bits but the exponent's highest; it is read from the page cache afterwards.
fs::path make_file(const Options& options, const fs::path& folder, const std::string& type, Size size) {
  const int64_t element = type == "F32" ? 4 : 2;
  const int64_t rows = rows_of_file(options, type, size);
  const uint64_t mask = type == "F32" ? 0xbfffffffbfffffffu : 0xbfffbfffbfffbfffu;
  const auto produce = [&](const auto& sink) {
    std::vector<uint64_t> block(8192);
    auto left = static_cast<size_t>(rows * size.d_in * element);
    for (uint64_t i = 0; left > 0; ++i) {
      for (size_t at = 0; at < block.size(); ++at) block[at] = mix64(i * block.size() + at) & mask;
      const size_t bytes = std::min(left, block.size() * sizeof(uint64_t));
      sink(std::as_bytes(std::span(block)).first(bytes));
      left -= bytes;
    }
  };
  const fs::path path = folder / fmt::format("{}x{}-{}.safetensors", size.rows, size.d_in, type);
  write_safetensors(real_file_system(), path, {{"activations", type, {rows, size.d_in}, produce}});
  return path;
}

// Milliseconds of one of `batches`, in the best of some rounds: what other programs disturbed least.
template <typename Work>
double best_ms(int batches, Work&& work) {
  double best = 1e9;
  for (int done = 0; done < batches;) {
    const int count = std::min(kRoundBatches, batches - done);
    const double start = monotonic_seconds();
    work(count);
    best = std::min(best, 1e3 * (monotonic_seconds() - start) / count);
    done += count;
  }
  return best;
}

// Of batches for which nobody computes in between: the loader's own pace.
double batch_ms(const std::shared_ptr<const ActivationSet>& set, const DataOrder& order, Size size,
                const std::vector<std::span<float>>& slots, int batches) {
  const auto lay_ready = static_cast<int>(slots.size());
  BatchLoader loader(set, {order, size.rows, 0, size.rows, 0, lay_ready + batches, 1}, slots);
  for (int i = 0; i < lay_ready; ++i) loader.next();
  return best_ms(batches, [&](int count) {
    for (int i = 0; i < count; ++i) loader.next();
  });
}

void drop_from_memory(const fs::path& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  const bool dropped = fd >= 0 && ::fsync(fd) == 0 && ::posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) == 0;
  ::close(fd);
  if (!dropped) fail(ErrorCode::retry, "{}: cannot be dropped from memory", path.string());
}

// Of all batches from the first on, since none is read from disk a second time.
double cold_ms(const std::shared_ptr<const ActivationSet>& set, const DataOrder& order, Size size,
               const std::vector<std::span<float>>& slots, int batches) {
  const double start = monotonic_seconds();
  BatchLoader loader(set, {order, size.rows, 0, size.rows, 0, batches, 1}, slots);
  for (int i = 0; i < batches; ++i) loader.next();
  return 1e3 * (monotonic_seconds() - start) / batches;
}

// Of a copy of one batch as float32, from a source as large as all slots.
double copy_ms(const std::vector<std::span<float>>& slots, const std::vector<float>& source, int threads,
               int batches) {
  const size_t size = slots[0].size(), parts = static_cast<size_t>(threads),
               share = (size + parts - 1) / parts;
  return best_ms(batches, [&](int count) {
#pragma omp parallel num_threads(threads)
    {
      const size_t begin = std::min(size, share * static_cast<size_t>(omp_get_thread_num()));
      const size_t bytes = (std::min(size, begin + share) - begin) * sizeof(float);
      for (size_t i = 0; i < static_cast<size_t>(count); ++i) {
        const size_t slot = i % slots.size();
        std::memcpy(slots[slot].data() + begin, source.data() + slot * size + begin, bytes);
      }
    }
  });
}

struct Source {
  std::string type;
  fs::path path;  // none: the table
  std::shared_ptr<const ActivationSet> open(int64_t d_in, int threads) const {
    return path.empty() ? random_activations(d_in, threads) : ActivationSet::open(path, "", threads);
  }
};

Json measure(const Options& options, const Source& source, Size size) {
  Json lines = Json::array();
  const auto values = static_cast<size_t>(size.rows * size.d_in);
  for (const int threads : options.threads) {
    const size_t count = threads == 1 ? 2 : 4;  // as a CPU rank has, and a GPU rank
    std::vector<float> memory(count * values), copied(count * values, 1.0f);
    std::vector<std::span<float>> slots;
    for (size_t i = 0; i < count; ++i) slots.push_back(std::span(memory).subspan(i * values, values));
    const auto set = source.open(size.d_in, threads);
    const DataOrder order = options.order(set->rows());
    if (options.cold) drop_from_memory(source.path);
    const double ms = (options.cold ? cold_ms : batch_ms)(set, order, size, slots, options.batches);
    const double memcpy_ms = copy_ms(slots, copied, threads, options.batches);
    const double gigabytes = static_cast<double>(values * sizeof(float)) / 1e6;  // per millisecond
    lines.push_back({{"size", fmt::format("{}x{}", size.rows, size.d_in)},
                     {"type", source.type},
                     {"threads", threads},
                     {"batch_ms", ms},
                     {"rows_per_second", 1e3 * static_cast<double>(size.rows) / ms},
                     {"gigabytes_per_second", gigabytes / ms},
                     {"memcpy_gigabytes_per_second", gigabytes / memcpy_ms},
                     {"source", source.path.empty() ? "table in memory" : source.path.string()},
                     {"source_rows", set->rows()}});
  }
  return lines;
}

void print(const Json& result) {
  std::printf("%d core(s); GB/s of float32 written; %s of %d batches%s\n", result["cores"].get<int>(),
              result["cold"].get<bool>() ? "the mean" : "the best ten", result["batches"].get<int>(),
              result["cold"].get<bool>() ? " from disk" : "");
  std::printf("%-12s %-6s %7s %10s %12s %8s %8s  %s\n", "size", "type", "threads", "ms/batch", "rows/s",
              "GB/s", "memcpy", "from");
  for (const Json& line : result["lines"])
    std::printf("%-12s %-6s %7d %10.3f %12.0f %8.2f %8.2f  %s, %ld rows\n",
                line["size"].get<std::string>().c_str(), line["type"].get<std::string>().c_str(),
                line["threads"].get<int>(), line["batch_ms"].get<double>(),
                line["rows_per_second"].get<double>(), line["gigabytes_per_second"].get<double>(),
                line["memcpy_gigabytes_per_second"].get<double>(), line["source"].get<std::string>().c_str(),
                line["source_rows"].get<int64_t>());
}

// A second epoch would find the file in memory.
void check_cold(Options& options, const std::vector<Size>& sizes) {
  std::erase(options.types, "table");
  if (options.types.empty())
    fail(ErrorCode::usage, "--cold reads files, and table is none; accepted: F32, F16, BF16");
  for (const Size& size : sizes)
    for (const std::string& type : options.types)
      if (const int64_t rows = rows_of_file(options, type, size); options.batches * size.rows > rows)
        fail(ErrorCode::usage,
             "--cold reads a file once, and {} batches of {}x{} are more than the {} rows of {} MiB of {}; "
             "accepted: up to {} batches",
             options.batches, size.rows, size.d_in, rows, options.megabytes, type, rows / size.rows);
}

int bench_loader(Options options) {
  std::vector<Size> sizes;
  for (const std::string& text : options.sizes) sizes.push_back(parse_size(text));
  if (options.threads.empty()) {
    options.threads = {1};
    for (const int more : {2, loader_threads(true, cores_allowed())})
      if (more > options.threads.back() && more <= cores_allowed()) options.threads.push_back(more);
  }
  if (options.cold) check_cold(options, sizes);
  const TemporaryFolder folder(options.folder);
  Json lines = Json::array();
  for (const Size& size : sizes)
    for (const std::string& type : options.types) {
      Source source{type, type == "table" ? fs::path() : make_file(options, folder.path, type, size)};
      for (Json& line : measure(options, source, size)) lines.push_back(std::move(line));
      if (!source.path.empty()) fs::remove(source.path);
    }
  const Json result{{"cores", cores_allowed()},
                    {"batches", options.batches},
                    {"block_rows", options.block_rows},
                    {"window_blocks", options.window_blocks},
                    {"cold", options.cold},
                    {"lines", lines}};
  return show(result, options.json, print);
}

}  // namespace

void add_bench_loader(CLI::App& bench, Run& run) {
  auto options = std::make_shared<Options>();
  CLI::App* command = bench.add_subcommand("loader", "How fast batches are read and converted");
  command->add_option("--sizes", options->sizes, "Rows and width of a batch, ROWSxWIDTH")->delimiter(',');
  command->add_option("--types", options->types, "F32 | F16 | BF16, in a file each; table: in memory")
      ->delimiter(',')
      ->check(CLI::IsMember({"F32", "F16", "BF16", "table"}));
  command->add_option("--threads", options->threads, "By default 1, 2 and those of a GPU rank here")
      ->delimiter(',')
      ->check(CLI::Range(1, 64));
  command->add_option("--folder", options->folder, "For the files, which are removed; default: TMPDIR");
  command->add_option("--megabytes", options->megabytes, "Of each file, at least a batch")
      ->check(CLI::Range(1, 1 << 20));
  command->add_option("--batches", options->batches, "That are measured")->check(CLI::Range(1, 100000));
  command->add_option("--block-rows", options->block_rows, "As activations.block_rows")
      ->check(CLI::Range(1, 1 << 20));
  command->add_option("--window-blocks", options->window_blocks, "As activations.window_blocks")
      ->check(CLI::Range(1, 1 << 20));
  command->add_flag("--cold", options->cold,
                    "From disk: without the table, and all batches from the first on");
  add_json_option(*command, options->json);
  command->callback([options, &run] { run = [options] { return bench_loader(*options); }; });
}

}  // namespace saemill
