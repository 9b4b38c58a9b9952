// bench select: what the encoder's GEMM and the selection of a step cost on a GPU, by the chunk of latents
// that goes from one to the other and by cuBLASLt's algorithm, so that both can be chosen without a build.
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <map>

#include "bench_commands.h"
#include "bench_training.h"
#include "common/base/random.h"
#include "common/plan/gpu_scratch.h"
#include "engine/backend/cuda/gemm.h"
#include "engine/backend/cuda/select.h"

namespace saemill {
namespace {

using Json = nlohmann::ordered_json;

constexpr int64_t kMostChunkMb = 8192;

struct Options {
  BenchShape shape;
  std::string devices = "gpu:0";
  std::vector<int64_t> chunk_mb = {16, 32, 64, 128, 256, 512};
  int algorithms = 8, repeats = 20;
  bool json = false;
};

struct Sizes {
  explicit Sizes(const BenchSetup& setup)
      : rows(setup.config.train.batch_size),
        n(setup.d_in),
        latents(setup.config.sae.d_sae),
        k(setup.config.sae.k),
        low(setup.config.train.dtype == "bf16" ? DType::bf16 : DType::f32) {}
  int64_t rows, n, latents, k;
  DType low;
};

gpu::Memory device_bytes(int64_t bytes) {
  return gpu::Memory(static_cast<size_t>(bytes));
}

// Normal values, a series over and over. Its length is a prime, so that no two rows are alike: equal
// pre-activations are not what a selection meets.
gpu::Memory random_values(int64_t count, DType low, uint64_t seed, const gpu::Stream& stream) {
  constexpr int64_t kSeries = 1'048'583;
  const size_t size = dtype_size(low);
  std::vector<std::byte> series(static_cast<size_t>(std::min(count, kSeries)) * size);
  for (size_t at = 0; at < series.size(); at += size) {
    const auto value = static_cast<float>(random_normal(seed, 1, at));
    const std::byte* bytes = reinterpret_cast<const std::byte*>(&value);
    // bf16 is the upper half of a float.
    std::memcpy(series.data() + at, bytes + sizeof value - size, size);
  }
  gpu::Memory values = device_bytes(count * static_cast<int64_t>(size));
  for (size_t at = 0; at < values.bytes(); at += series.size())
    gpu::copy_and_wait(values.data() + at, series.data(), std::min(series.size(), values.bytes() - at),
                       stream);
  return values;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// The encoder of a step as the backend has it, chunk by chunk.
class Encoder {
 public:
  Encoder(const Sizes& sizes, int64_t most_latents);

  int algorithms(int64_t chunk, int most) { return gemm_.suggestions(shape(chunk), chunk, most); }
  Json measure(int64_t chunk, int algorithm, int repeats);

 private:
  gpu::GemmShape shape(int64_t count) const {
    return {s_.rows, std::min(count, s_.latents), s_.n, gpu::GemmForm::nt, s_.low, false};
  }
  void gemm(int64_t chunk, int64_t first);
  void select(int64_t chunk, int64_t first);
  void finish();
  template <typename Work>
  void each(int64_t chunk, Work&& work) {
    for (int64_t first = 0; first < s_.latents; first += chunk) work(first);
  }

  double median_ms(int repeats, const std::function<void()>& work);
  double median_select_ms(int64_t chunk, int repeats);
  std::vector<uint32_t> sample(int64_t chunk);

  const Sizes s_;
  const gpu::Stream stream_;
  const gpu::Memory x_, weights_, bias_, pre_, state_memory_, index_, value_, workspace_;
  const gpu::SelectState state_;
  gpu::GemmEngine gemm_;
  std::vector<uint32_t> first_sample_;  // of algorithm 0, of the chunk that was measured last
};

Encoder::Encoder(const Sizes& sizes, int64_t most_latents)
    : s_(sizes),
      x_(random_values(s_.rows * s_.n, s_.low, 1, stream_)),
      weights_(random_values(s_.latents * s_.n, s_.low, 2, stream_)),
      bias_(device_bytes(4 * s_.latents)),
      pre_(device_bytes(4 * s_.rows * most_latents)),
      state_memory_(gpu::select_state_bytes(s_.rows, s_.k)),
      index_(device_bytes(4 * s_.rows * s_.k)),
      value_(device_bytes(4 * s_.rows * s_.k)),
      workspace_(gpu::kGemmWorkspaceBytes),
      state_(gpu::make_select_state(state_memory_.data(), s_.rows, s_.k)),
      gemm_(workspace_.data(), workspace_.bytes()) {
  gpu::fill(bias_.data(), 0, bias_.bytes(), stream_);
}

void Encoder::gemm(int64_t chunk, int64_t first) {
  const std::byte* weights = weights_.data() + first * s_.n * static_cast<int64_t>(dtype_size(s_.low));
  gemm_.run(shape(std::min(chunk, s_.latents - first)), x_.data(), weights, pre_.as<float>(), chunk, stream_);
}

void Encoder::select(int64_t chunk, int64_t first) {
  gpu::select_chunk(state_,
                    {pre_.as<float>(), chunk, s_.rows, first, std::min(chunk, s_.latents - first),
                     bias_.as<float>() + first},
                    stream_);
}

void Encoder::finish() {
  gpu::finish_select(state_, s_.rows, index_.as<int32_t>(), value_.as<float>(), nullptr, stream_);
}

// Nothing waits between repeats, so that the host's part stays out of it.
double Encoder::median_ms(int repeats, const std::function<void()>& work) {
  std::vector<gpu::Event> marks;
  for (int i = 0; i <= repeats; ++i) marks.emplace_back(gpu::Event::Timing::on);
  work();  // loads what it needs
  marks[0].record(stream_);
  for (size_t i = 1; i < marks.size(); ++i) {
    work();
    marks[i].record(stream_);
  }
  stream_.synchronize();
  std::vector<double> times;
  for (size_t i = 1; i < marks.size(); ++i) times.push_back(gpu::elapsed_ms(marks[i - 1], marks[i]));
  return median(times);
}

// Between the GEMMs, since how much there is to do depends on what earlier chunks have selected, and how fast
// it is read on what the cache still holds of the product.
double Encoder::median_select_ms(int64_t chunk, int repeats) {
  std::vector<gpu::Event> begin, end;
  each(chunk, [&](int64_t) {
    begin.emplace_back(gpu::Event::Timing::on);
    end.emplace_back(gpu::Event::Timing::on);
  });
  std::vector<double> times;
  for (int i = 0; i < repeats; ++i) {
    each(chunk, [&](int64_t first) {
      const auto number = static_cast<size_t>(first / chunk);
      gemm(chunk, first);
      begin[number].record(stream_);
      select(chunk, first);
      if (number + 1 == end.size()) finish();
      end[number].record(stream_);
    });
    stream_.synchronize();
    double sum = 0;
    for (size_t c = 0; c < end.size(); ++c) sum += gpu::elapsed_ms(begin[c], end[c]);
    times.push_back(sum);
  }
  return median(times);
}

// Bits of some rows of the first chunk's product.
std::vector<uint32_t> Encoder::sample(int64_t chunk) {
  const int64_t rows = std::min<int64_t>(s_.rows, 64), width = shape(chunk).n;
  std::vector<uint32_t> bits(static_cast<size_t>(rows * width));
  gemm(chunk, 0);
  for (int64_t i = 0; i < rows; ++i)
    gpu::copy_and_wait(bits.data() + i * width, pre_.as<float>() + i * s_.rows / rows * chunk,
                       static_cast<size_t>(width) * sizeof(uint32_t), stream_);
  return bits;
}

Json Encoder::measure(int64_t chunk, int algorithm, int repeats) {
  gemm_.choose(shape(chunk), chunk, algorithm);
  // The last chunk may be another shape, with fewer algorithms.
  if (const int64_t rest = s_.latents % chunk; rest > 0)
    gemm_.choose(shape(rest), chunk,
                 std::min(algorithm, gemm_.suggestions(shape(rest), chunk, algorithm + 1) - 1));
  const std::vector<uint32_t> found = sample(chunk);
  if (algorithm == 0) first_sample_ = found;
  const double gemm_ms = median_ms(repeats, [&] { each(chunk, [&](int64_t first) { gemm(chunk, first); }); });
  const double both_ms = median_ms(repeats, [&] {
    each(chunk, [&](int64_t first) {
      gemm(chunk, first);
      select(chunk, first);
    });
    finish();
  });
  return {{"latents", chunk},   {"algorithm", algorithm},
          {"gemm_ms", gemm_ms}, {"select_ms", median_select_ms(chunk, repeats)},
          {"both_ms", both_ms}, {"bits_equal", found == first_sample_}};
}

// Megabytes by the latents that they come to; where several come to as many, the default's or the first.
std::map<int64_t, int64_t> chunks_of(const Options& options, const Sizes& sizes) {
  std::map<int64_t, int64_t> chunks{{gpu_chunk(sizes.latents, sizes.rows), kPreBytes >> 20}};
  for (const int64_t mb : options.chunk_mb)
    chunks.emplace(gpu_chunk(sizes.latents, sizes.rows, mb << 20), mb);
  return chunks;
}

Json measure(const Options& options, const Sizes& sizes) {
  const auto chunks = chunks_of(options, sizes);
  Encoder encoder(sizes, chunks.rbegin()->first);
  Json points = Json::array(), usual, best;
  for (const auto& [latents, mb] : chunks) {
    const int count = encoder.algorithms(latents, options.algorithms);
    for (int algorithm = 0; algorithm < count; ++algorithm) {
      Json point{{"chunk_mb", mb}};
      point.update(encoder.measure(latents, algorithm, options.repeats));
      if (algorithm == 0 && latents == gpu_chunk(sizes.latents, sizes.rows)) usual = point;
      if (best.is_null() || point["both_ms"] < best["both_ms"]) best = point;
      points.push_back(std::move(point));
    }
  }
  return {{"shape", options.shape.shape},
          {"dtype", options.shape.dtype},
          {"device", options.devices},
          {"gpu", gpu::devices().at(static_cast<size_t>(gpu::current_device())).name},
          {"repeats", options.repeats},
          {"points", points},
          {"default", usual},
          {"best", best}};
}

void print(const Json& result) {
  std::printf("%s, %s, %s\n%9s %9s %9s %10s %10s %10s  %s\n", result["gpu"].get<std::string>().c_str(),
              result["shape"].get<std::string>().c_str(), result["dtype"].get<std::string>().c_str(),
              "chunk MiB", "latents", "algorithm", "GEMM ms", "select ms", "both ms", "bits of algorithm 0");
  for (const Json& point : result["points"])
    std::printf("%9lld %9lld %9d %10.3f %10.3f %10.3f  %s%s%s\n",
                static_cast<long long>(point["chunk_mb"].get<int64_t>()),
                static_cast<long long>(point["latents"].get<int64_t>()), point["algorithm"].get<int>(),
                point["gemm_ms"].get<double>(), point["select_ms"].get<double>(),
                point["both_ms"].get<double>(), point["bits_equal"].get<bool>() ? "yes" : "no",
                point == result["default"] ? "  <- default" : "", point == result["best"] ? "  <- best" : "");
}

int bench_select(const Options& options) {
  const Sizes sizes(make_setup(options.shape));
  for (const int64_t mb : options.chunk_mb)
    if (mb < 1 || mb > kMostChunkMb)
      fail(ErrorCode::usage, "--chunk-mb has {}; accepted: 1 to {}", mb, kMostChunkMb);
  const BenchDevice device = parse_device(options.devices, true);
  if (!device.gpu) fail(ErrorCode::usage, "--devices is \"{}\"; accepted: gpu:K", options.devices);
  use_gpu_number(device.index);
  const Json result = measure(options, sizes);
  return show(result, options.json, print);
}

}  // namespace

void add_bench_select(CLI::App& bench, Run& run) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      bench.add_subcommand("select", "Encoder and selection of one step on a GPU, by chunk and algorithm");
  command->add_option("--shape", options->shape.shape, "batch,d_in,d_sae,k")->required();
  command->add_option("--dtype", options->shape.dtype, "bf16 | f32");
  command->add_option("--devices", options->devices, "gpu:K");
  command->add_option("--chunk-mb", options->chunk_mb, "MiB of pre-activations at a time")->delimiter(',');
  command->add_option("--algorithms", options->algorithms, "Of those that cuBLASLt suggests, so many")
      ->check(CLI::Range(1, 100));
  command->add_option("--repeats", options->repeats, "Of each measurement")->check(CLI::Range(1, 100000));
  add_json_option(*command, options->json);
  command->callback([options, &run] { run = [options] { return bench_select(*options); }; });
}

}  // namespace saemill
