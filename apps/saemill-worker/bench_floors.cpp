#include "bench_floors.h"

#include <omp.h>

#include <algorithm>
#include <cstring>

#include "common/base/clock.h"
#include "common/base/random.h"
#include "common/plan/tiles.h"
#include "engine/backend/cpu/gemm.h"
#include "engine/backend/cuda/cuda_backend.h"

namespace saemill {
namespace {

DType low_of(const BenchSetup& setup) {
  return setup.config.train.dtype == "bf16" ? DType::bf16 : DType::f32;
}

// Multiply-adds per second of the encoder's own tile with everything in cache, on all threads.
double cpu_gemm_rate(int64_t n, int64_t chunk, DType dtype, int threads) {
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
double cpu_copy_rate(int threads) {
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

// Bytes of copies per second, after one that is not measured.
double gpu_copies(void* to, const void* from, size_t bytes, const gpu::Stream& stream) {
  constexpr int kRounds = 20;
  gpu::Event start(gpu::Event::Timing::on), end(gpu::Event::Timing::on);
  gpu::copy(to, from, bytes, stream);
  start.record(stream);
  for (int i = 0; i < kRounds; ++i) gpu::copy(to, from, bytes, stream);
  end.record(stream);
  end.synchronize();
  return 1e3 * kRounds * static_cast<double>(bytes) / gpu::elapsed_ms(start, end);
}

double gpu_copy_rate() {
  constexpr size_t kBytes = size_t{256} << 20;  // several times the second level cache
  const gpu::Memory from(kBytes), to(kBytes);
  const gpu::Stream stream;
  gpu::fill(from.data(), 1, kBytes, stream);
  return 2 * gpu_copies(to.data(), from.data(), kBytes, stream);
}

double gpu_upload_rate() {
  constexpr size_t kBytes = size_t{64} << 20;  // about a batch
  const gpu::PinnedMemory from(kBytes);
  const gpu::Memory to(kBytes);
  const gpu::Stream stream;
  std::memset(from.data(), 1, kBytes);
  return gpu_copies(to.data(), from.data(), kBytes, stream);
}

// Normal values, a short series over and over: a GEMM of zeros draws less power, and so runs faster.
void fill_randomly(Backend& backend, const View& view) {
  std::vector<uint16_t> series(1 << 16);
  std::vector<float> floats(series.size());
  for (size_t i = 0; i < series.size(); ++i) {
    floats[i] = static_cast<float>(random_normal(2, 1, i));
    uint32_t bits = 0;
    std::memcpy(&bits, &floats[i], sizeof bits);
    series[i] = static_cast<uint16_t>(bits >> 16);
  }
  const bool bf16 = backend.low() == DType::bf16;
  const auto* from = bf16 ? reinterpret_cast<const std::byte*>(series.data())
                          : reinterpret_cast<const std::byte*>(floats.data());
  const size_t bytes = series.size() * dtype_size(backend.low());
  for (size_t at = 0; at < view.bytes(); at += bytes)
    backend.write(view.data + at, from, std::min(bytes, view.bytes() - at));
}

// Milliseconds of one selection of a single latent by products of so many columns.
double select_ms(int64_t rows, int64_t columns, int64_t latents, DType low) {
  const CudaBackend cuda = make_cuda_backend(columns, latents, low);
  Backend& backend = *cuda.backend;
  backend.reserve(
      {columns, latents, rows, rows, 1, 0, latents, false, static_cast<int64_t>(dtype_size(low))});
  const auto view = [&](DType type, int64_t count, int64_t width) {
    View made{nullptr, type, count, width};
    made.data = backend.allocate(made.bytes());
    return made;
  };
  SelectTask task;
  task.centered = view(low, round_up(rows, kRowTile), columns);
  task.rows = rows;
  task.packed = view(DType::u8, ceil_div(latents, latent_chunk(latents)), backend.packed_chunk_bytes());
  task.b_enc = view(DType::f32, 1, latents);
  task.codes = {view(DType::i32, rows, 1), view(DType::f32, rows, 1), view(DType::f32, rows, 1)};
  fill_randomly(backend, task.centered);
  fill_randomly(backend, task.packed);
  constexpr int kRounds = 10;
  backend.select(task);
  backend.measure_phases(true);
  for (int i = 0; i < kRounds; ++i) backend.select(task);
  return backend.take_phases().at("select") / kRounds;
}

// Two selections that differ in the length of their products only: what the longer one takes more is a GEMM's
// and nothing else's.
double gpu_gemm_rate(const BenchSetup& setup) {
  const int64_t rows = std::min<int64_t>(setup.config.train.batch_size, 8192),
                latents = std::min<int64_t>(setup.config.sae.d_sae, 16384), columns = 4 * setup.d_in;
  const double shorter = select_ms(rows, columns, latents, low_of(setup)),
               longer = select_ms(rows, 2 * columns, latents, low_of(setup));
  const auto more = static_cast<double>(rows * columns * latents);
  return longer > shorter ? 1e3 * more / (longer - shorter) : 2e3 * more / longer;
}

struct Sizes {
  explicit Sizes(const BenchSetup& setup)
      : B(static_cast<double>(setup.config.train.batch_size)),
        n(static_cast<double>(setup.d_in)),
        M(static_cast<double>(setup.config.sae.d_sae)),
        k(static_cast<double>(setup.config.sae.k)),
        low(setup.config.train.dtype == "bf16" ? 2 : 4) {}
  double B, n, M, k, low;
};

}  // namespace

MachineRates cpu_rates(const BenchSetup& setup, int threads) {
  return {cpu_gemm_rate(setup.d_in, latent_chunk(setup.config.sae.d_sae), low_of(setup), threads),
          cpu_copy_rate(threads), 0};
}

MachineRates gpu_rates(const BenchSetup& setup) {
  return {gpu_gemm_rate(setup), gpu_copy_rate(), gpu_upload_rate()};
}

std::map<std::string, double> cpu_floors(const BenchSetup& setup, const MachineRates& rates) {
  const Sizes s(setup);
  return {{"select", 1e3 * s.B * s.n * s.M / rates.multiply_adds},
          {"decode", 1e3 * s.B * s.n * (4 * s.k + 4 + s.low) / rates.copied_bytes},
          {"latents", 1e3 * (s.n * s.M * (48 + s.low) + 2 * s.B * s.n * s.low) / rates.copied_bytes},
          {"center", 1e3 * s.B * s.n * (4 + s.low) / rates.copied_bytes}};
}

// Rows that are gathered come from memory each time, pre-activations, in f32, are read once.
std::map<std::string, double> gpu_floors(const BenchSetup& setup, const MachineRates& rates) {
  const Sizes s(setup);
  const auto products = [&](double count) { return 1e3 * count * s.B * s.n * s.M / rates.multiply_adds; };
  const auto bytes = [&](double count) { return 1e3 * count / rates.copied_bytes; };
  // Masters and moments read and written; in bf16 also the copies of both matrices.
  const double state = s.n * s.M * (48 + (s.low < 4 ? 2 * s.low : 0));
  std::map<std::string, double> floors{{"center", bytes(s.B * s.n * (4 + s.low))},
                                       {"stage", 1e3 * 4 * s.B * s.n / rates.uploaded_bytes}};
  if (setup.config.sae.architecture == "topk") {
    floors["select"] = products(1) + bytes(4 * s.B * s.M);
    floors["decode"] = bytes(s.B * s.n * (2 * s.k * s.low + 4 + s.low));
    floors["group"] = bytes(48 * s.B * s.k);
    floors["latents"] = bytes(2 * s.B * s.k * s.n * s.low + state);
  } else {
    floors["dense_forward"] = products(2);
    floors["latents"] = products(4) + bytes(state);
  }
  return floors;
}

}  // namespace saemill
