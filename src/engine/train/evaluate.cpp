#include "engine/train/evaluate.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "common/plan/tiles.h"

namespace saemill {
namespace {

View view_of(std::vector<std::byte>& memory, DType dtype, int64_t rows, int64_t cols) {
  memory.assign(static_cast<size_t>(rows * cols) * dtype_size(dtype) + 64, std::byte{});
  const auto address = reinterpret_cast<uintptr_t>(memory.data());
  return {memory.data() + (64 - address % 64) % 64, dtype, rows, cols};
}

View view_of(const std::vector<float>& values, int64_t rows, int64_t cols) {
  return {reinterpret_cast<std::byte*>(const_cast<float*>(values.data())), DType::f32, rows, cols};
}

class Evaluator {
 public:
  Evaluator(const SaeWeights& sae, int threads)
      : sae_(sae),
        backend_(make_cpu_backend(sae.d_in, sae.d_sae, DType::f32, threads)),
        fired_(static_cast<size_t>(sae.d_sae)) {
    const int64_t n = sae.d_in, M = sae.d_sae;
    // Every positive latent of a ReLU code is wanted, however many there are.
    const int64_t slots = sae.architecture == "topk" ? std::min(sae.k, M) : M;
    rows_ = kRowTile * (sae.architecture == "topk" ? 4 : 1);
    weights_ = {view_of(sae.W_enc, M, n), view_of(sae.W_dec, M, n), view_of(sae.b_enc, 1, M),
                view_of(sae.b_dec, 1, n)};
    packed_ = {make(DType::u8, ceil_div(M, latent_chunk(M)), backend_->packed_chunk_bytes()), {}, {}};
    x_ = make(DType::f32, rows_, n);
    centered_ = make(DType::f32, rows_, n);
    residual_ = make(DType::f32, rows_, n);
    codes_ = {make(DType::i32, rows_, slots), make(DType::f32, rows_, slots), make(DType::f32, rows_, slots)};
    stats_ = make(DType::f64, rows_, kRowStats);
    sums_ = make(DType::f32, ceil_div(rows_, kBlock), n);
    moments_ = make(DType::f64, ceil_div(rows_, kBlock), n + 1);
    backend_->pack(weights_, packed_, 0, M);
    column_sums_.resize(static_cast<size_t>(n) + 1);
  }

  int64_t batch_rows() const { return rows_; }
  View rows(int64_t count) const { return x_.slice(0, count); }

  // The rows that the caller has filled.
  void add(int64_t count) {
    const View x = x_.slice(0, count);
    backend_->center(x, weights_.b_dec, centered_);
    backend_->select({centered_, count, packed_.encoder, weights_.b_enc, codes_, {}, {}, {}});
    DecodeTask task;
    task.x = x;
    task.sae = weights_;
    task.codes = codes_;
    task.scale = 1;
    task.scalars = &scalars_;
    task.residual = residual_;
    task.row_stats = stats_;
    task.block_sums = sums_;
    backend_->decode(task);
    backend_->data_moments(x, moments_);
    for (int64_t b = 0; b < ceil_div(count, kBlock); ++b)
      for (size_t i = 0; i < column_sums_.size(); ++i) column_sums_[i] += moments_.row<double>(b)[i];
    for (int64_t r = 0; r < count; ++r) add_row(r);
    count_ += count;
  }

  Evaluation result() const {
    const auto rows = static_cast<double>(count_), n = static_cast<double>(sae_.d_in);
    double variance = column_sums_.back();
    for (size_t i = 0; i + 1 < column_sums_.size(); ++i) variance -= column_sums_[i] * column_sums_[i] / rows;
    Evaluation result;
    result.rows = count_;
    result.mse = squared_error_ / rows;
    result.fvu = variance > 1e-12 * n * rows ? squared_error_ / variance : std::nan("");
    result.l0 = active_ / rows;
    result.cosine = cosine_ / rows;
    const auto alive = static_cast<double>(std::count(fired_.begin(), fired_.end(), uint8_t{1}));
    result.dead_fraction = 1 - alive / static_cast<double>(sae_.d_sae);
    return result;
  }

 private:
  View make(DType dtype, int64_t rows, int64_t cols) {
    return view_of(memory_.emplace_back(), dtype, rows, cols);
  }

  void add_row(int64_t r) {
    squared_error_ += stats_.row<double>(r)[kSquaredError];
    active_ += stats_.row<double>(r)[kL0];
    for (int64_t s = 0; s < codes_.index.cols && codes_.value.row<float>(r)[s] > 0; ++s)
      fired_[static_cast<size_t>(codes_.index.row<int32_t>(r)[s])] = 1;
    double dot = 0, x_square = 0, hat_square = 0;
    for (int64_t i = 0; i < sae_.d_in; ++i) {
      const double x = static_cast<double>(x_.row<float>(r)[i]),
                   hat = x + static_cast<double>(residual_.row<float>(r)[i]);
      dot += x * hat;
      x_square += x * x;
      hat_square += hat * hat;
    }
    if (x_square > 0 && hat_square > 0) cosine_ += dot / std::sqrt(x_square * hat_square);
  }

  const SaeWeights& sae_;
  std::unique_ptr<Backend> backend_;
  std::vector<uint8_t> fired_;
  std::vector<std::vector<std::byte>> memory_;
  int64_t rows_ = 0, count_ = 0;
  StepScalars scalars_;
  SaeViews weights_;
  PackedViews packed_;
  View x_, centered_, residual_, stats_, sums_, moments_;
  Codes codes_;
  std::vector<double> column_sums_;
  double squared_error_ = 0, active_ = 0, cosine_ = 0;
};

}  // namespace

nlohmann::ordered_json Evaluation::to_json() const {
  const auto number = [](double value) {
    return std::isfinite(value) ? nlohmann::ordered_json(value) : nlohmann::ordered_json();
  };
  return {{"fvu", number(fvu)}, {"explained_variance", number(1 - fvu)},
          {"l0", l0},           {"dead_fraction", dead_fraction},
          {"mse", mse},         {"cosine", cosine},
          {"rows", rows}};
}

Evaluation evaluate_sae(const SaeWeights& sae, const ActivationSet& set, int64_t max_rows, int threads) {
  if (set.d_in() != sae.d_in)
    fail(ErrorCode::bad_data, "the activations have d_in {}; this SAE takes {}", set.d_in(), sae.d_in);
  Evaluator evaluator(sae, threads);
  const int64_t rows = max_rows > 0 ? std::min(max_rows, set.rows()) : set.rows();
  for (int64_t first = 0; first < rows; first += evaluator.batch_rows()) {
    const int64_t count = std::min(evaluator.batch_rows(), rows - first);
    const View x = evaluator.rows(count);
    for (int64_t r = 0; r < count; ++r)
      set.read(first + r, 1.0f, std::span(x.row<float>(r), static_cast<size_t>(sae.d_in)));
    evaluator.add(count);
  }
  return evaluator.result();
}

// With x' = s x: W_enc (s x - b_dec) + b_enc = s (W_enc (x - b_dec / s) + b_enc / s). Selection does not
// change with a positive factor, so the latents of the raw SAE are z' / s, and x_hat = W_dec z + b_dec / s:
// both biases shrink, and the decoder keeps its norm.
void export_sae(FileSystem& files, const fs::path& folder, const RunConfig& config,
                const TrainingState& state, const ActivationSet& set) {
  const auto floats = [](const View& view) {
    return std::span<const float>(view.as<float>(), static_cast<size_t>(view.rows * view.cols));
  };
  const auto unscaled = [&](const View& view) {
    std::vector<float> values(view.as<float>(), view.as<float>() + view.cols);
    for (float& value : values) value = static_cast<float>(static_cast<double>(value) / state.scale);
    return values;
  };
  // What the configuration does not name, the shard may: under SAELens' name or the short one.
  const auto from_metadata = [&](const std::string& given, const char* key, const char* short_key) {
    if (!given.empty()) return given;
    for (const char* name : {key, short_key})
      if (const auto it = set.metadata().find(name); it != set.metadata().end()) return it->second;
    return std::string();
  };
  const std::vector<float> b_enc = unscaled(state.weights.b_enc), b_dec = unscaled(state.weights.b_dec);
  SaeExport sae;
  sae.architecture = config.sae.architecture;
  sae.k = config.sae.k;
  sae.d_in = set.d_in();
  sae.d_sae = config.sae.d_sae;
  sae.W_enc = floats(state.weights.W_enc);
  sae.W_dec = floats(state.weights.W_dec);
  sae.b_enc = b_enc;
  sae.b_dec = b_dec;
  sae.model_name = from_metadata(config.activations.model_name, "model_name", "model");
  sae.hook_name = from_metadata(config.activations.hook_name, "hook_name", "hook");
  write_sae(files, folder, sae);
}

}  // namespace saemill
