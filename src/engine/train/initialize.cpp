#include <algorithm>
#include <cmath>
#include <cstring>
#include <thread>

#include "common/base/proc.h"
#include "common/base/random.h"
#include "engine/train/data_order.h"
#include "engine/train/state.h"

namespace saemill {
namespace {

constexpr int64_t kSampleRows = 32768;                 // Gao et al. 2024 take as many
constexpr int64_t kSampleElements = int64_t{1} << 25;  // bounds the memory of the sample,
constexpr int64_t kSampleShare = 4;                    // which no sample takes more of than the moments will
constexpr int kMedianIterations = 100;
constexpr double kMedianTolerance = 1e-5;
constexpr uint64_t kWeightStream = 1;

// The first rows in the order of the data.
std::vector<float> sample_rows(const ActivationSet& set, const DataOrder& order, int64_t d_sae) {
  const int64_t n = set.d_in(), rows = std::min({set.rows(), kSampleRows, kSampleShare * d_sae,
                                                 std::max<int64_t>(1, kSampleElements / n)});
  for (const RowRange& block : blocks_at_start(order, 0, rows)) set.expect(block.first, block.last);
  std::vector<float> sample(static_cast<size_t>(rows * n));
  for (int64_t r = 0; r < rows; ++r)
    set.read(row_at(order, r), 1.0f,
             std::span(sample).subspan(static_cast<size_t>(r * n), static_cast<size_t>(n)));
  return sample;
}

double scale_of(const std::string& normalize, const std::vector<float>& sample, int64_t n) {
  if (normalize == "none") return 1;
  double squares = 0, norms = 0;
  const int64_t rows = static_cast<int64_t>(sample.size()) / n;
  for (int64_t r = 0; r < rows; ++r) {
    double sum = 0;
    for (int64_t i = 0; i < n; ++i)
      sum += std::pow(static_cast<double>(sample[static_cast<size_t>(r * n + i)]), 2);
    squares += sum;
    norms += std::sqrt(sum);
  }
  if (!(squares > 0))
    fail(ErrorCode::bad_data,
         "activations are all zero: activations.normalize \"{}\" has no scale; accepted: none", normalize);
  const auto count = static_cast<double>(rows), width = static_cast<double>(n);
  if (normalize == "mean_square") return 1 / std::sqrt(squares / (count * width));
  return std::sqrt(width) * count / norms;  // expected_average_only_in, as SAELens names it
}

std::vector<double> mean_of(const std::vector<float>& sample, int64_t n) {
  std::vector<double> mean(static_cast<size_t>(n));
  const size_t rows = sample.size() / mean.size();
  for (size_t r = 0; r < rows; ++r)
    for (size_t i = 0; i < mean.size(); ++i) mean[i] += static_cast<double>(sample[r * mean.size() + i]);
  for (double& value : mean) value /= static_cast<double>(rows);
  return mean;
}

// Weiszfeld's algorithm: the point with the least sum of distances to the rows.
std::vector<double> geometric_median(const std::vector<float>& sample, int64_t n) {
  std::vector<double> median = mean_of(sample, n);
  const size_t width = median.size(), rows = sample.size() / width;
  for (int iteration = 0; iteration < kMedianIterations; ++iteration) {
    std::vector<double> next(width);
    double weights = 0, moved = 0, size = 0;
    for (size_t r = 0; r < rows; ++r) {
      double distance = 0;
      for (size_t i = 0; i < width; ++i)
        distance += std::pow(static_cast<double>(sample[r * width + i]) - median[i], 2);
      const double weight = 1 / std::max(std::sqrt(distance), 1e-12);
      weights += weight;
      for (size_t i = 0; i < width; ++i) next[i] += weight * static_cast<double>(sample[r * width + i]);
    }
    for (size_t i = 0; i < width; ++i) {
      next[i] /= weights;
      moved += std::pow(next[i] - median[i], 2);
      size += next[i] * next[i];
    }
    median = std::move(next);
    if (moved <= kMedianTolerance * kMedianTolerance * size) break;
  }
  return median;
}

// Rows of so many latents are made at a time, before they go to the device.
constexpr int64_t kRowsAtOnce = 256;
// A thread with fewer of them costs more than it saves.
constexpr int64_t kNormalsOfAThread = 32768;

void make_rows(uint64_t seed, int64_t first, int64_t last, int64_t n, double encoder_scale, float* enc,
               float* dec) {
  std::vector<double> row(static_cast<size_t>(n));
  for (int64_t j = first; j < last; ++j) {
    double squares = 0;
    for (int64_t i = 0; i < n; ++i) {
      row[static_cast<size_t>(i)] = random_normal(seed, kWeightStream, static_cast<uint64_t>(j * n + i));
      squares += row[static_cast<size_t>(i)] * row[static_cast<size_t>(i)];
    }
    const double inverse = squares > 0 ? 1 / std::sqrt(squares) : 0;
    for (const double value : row) {
      *dec++ = static_cast<float>(value * inverse);
      *enc++ = static_cast<float>(value * inverse * encoder_scale);
    }
  }
}

// Every element is a function of its place alone, so whoever makes a row makes the same bits.
void make_rows_by_threads(int threads, uint64_t seed, int64_t first, int64_t last, int64_t n,
                          double encoder_scale, float* enc, float* dec) {
  const int64_t useful = std::min<int64_t>(threads, (last - first) * n / kNormalsOfAThread);
  const int64_t parts = std::clamp<int64_t>(useful, 1, last - first);
  const auto make_part = [=](int64_t part) {
    const int64_t begin = (last - first) * part / parts, end = (last - first) * (part + 1) / parts;
    make_rows(seed, first + begin, first + end, n, encoder_scale, enc + begin * n, dec + begin * n);
  };
  std::vector<std::jthread> others;
  for (int64_t part = 1; part < parts; ++part) others.emplace_back(make_part, part);
  make_part(0);
}

void set_weights(TrainingState& state, const RunConfig& config, double encoder_scale, Backend& backend,
                 int threads) {
  const int64_t n = state.weights.W_enc.cols;
  std::vector<float> enc(static_cast<size_t>(kRowsAtOnce * n)), dec(enc.size());
  for (int64_t first = state.share.first_latent; first < state.share.last_latent; first += kRowsAtOnce) {
    const int64_t last = std::min(state.share.last_latent, first + kRowsAtOnce);
    make_rows_by_threads(threads, static_cast<uint64_t>(config.train.seed), first, last, n, encoder_scale,
                         enc.data(), dec.data());
    const size_t bytes = static_cast<size_t>((last - first) * n) * sizeof(float);
    backend.write(state.weights.W_enc.row<float>(first), enc.data(), bytes);
    backend.write(state.weights.W_dec.row<float>(first), dec.data(), bytes);
  }
}

}  // namespace

DataStart sample_data(const RunConfig& config, const ActivationSet& set) {
  const int64_t n = set.d_in();
  const std::vector<float> sample = sample_rows(set, data_order(config, set), config.sae.d_sae);
  DataStart start;
  start.scale = scale_of(config.activations.normalize, sample, n);
  std::vector<double> bias(static_cast<size_t>(n));
  if (config.sae.decoder_bias_init == "mean") bias = mean_of(sample, n);
  if (config.sae.decoder_bias_init == "geometric_median") bias = geometric_median(sample, n);
  for (const double value : bias) start.b_dec.push_back(static_cast<float>(value * start.scale));
  return start;
}

void initialize_state(TrainingState& state, const RunConfig& config, const Architecture& architecture,
                      const DataStart& start, Backend& backend, Communicator& comm, int threads) {
  const int64_t n = state.weights.W_enc.cols;
  std::vector<double> told(static_cast<size_t>(n) + 1);
  if (comm.rank() == 0) {
    std::copy(start.b_dec.begin(), start.b_dec.end(), told.begin());
    told.back() = start.scale;
  }
  comm.broadcast(reinterpret_cast<std::byte*>(told.data()), told.size() * sizeof(double), 0);
  state.scale = told.back();
  const std::vector<float> b_dec(told.begin(), told.end() - 1);
  backend.write(state.weights.b_dec.data, b_dec.data(), b_dec.size() * sizeof(float));
  if (threads == 0) threads = static_cast<int>(allowed_cores().size());
  set_weights(state, config, architecture.encoder_scale(n, state.weights.W_enc.rows), backend, threads);
}

}  // namespace saemill
