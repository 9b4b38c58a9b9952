#include "engine/train/evaluate.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "common/formats/safetensors.h"
#include "common/plan/tiles.h"
#include "engine/train/checkpoint.h"

namespace saemill {
namespace {

class Evaluator {
 public:
  Evaluator(const SaeWeights& sae, Backend& backend)
      : sae_(sae),
        backend_(backend),
        topk_(sae.architecture == "topk"),
        fired_(static_cast<size_t>(sae.d_sae)) {
    const int64_t n = sae.d_in, M = sae.d_sae;
    rows_ = kRowTile * (topk_ ? 4 : 1);
    scalars_view_ = make(DType::u8, 1, sizeof(StepScalars));
    const StepScalars scalars{{}, 0, 0, 1};
    backend_.write(scalars_view_.data, &scalars, sizeof scalars);
    weights_ = {make(DType::f32, M, n, &sae.W_enc), make(DType::f32, M, n, &sae.W_dec),
                make(DType::f32, 1, M, &sae.b_enc), make(DType::f32, 1, n, &sae.b_dec)};
    make_packed();
    x_host_.resize(static_cast<size_t>(rows_ * n));
    x_ = make(DType::f32, rows_, n);
    centered_ = make(DType::f32, rows_, n);
    residual_ = make(DType::f32, rows_, n);
    stats_ = make(DType::f64, rows_, kRowStats);
    sums_ = make(DType::f32, ceil_div(rows_, kBlock), n);
    moments_ = make(DType::f64, ceil_div(rows_, kBlock), n + 1);
    make_code();
    column_sums_.resize(static_cast<size_t>(n) + 1);
  }

  int64_t batch_rows() const { return rows_; }
  std::span<float> row(int64_t r) {
    const auto n = static_cast<size_t>(sae_.d_in);
    return std::span(x_host_).subspan(static_cast<size_t>(r) * n, n);
  }

  // The rows that the caller has filled.
  void add(int64_t count) {
    const View x = x_.slice(0, count);
    backend_.write(x.data, x_host_.data(), x.bytes());
    backend_.center(x, weights_.b_dec, centered_);
    if (counts_by_pass_)
      run_dense(x);
    else
      run_sparse(x);
    backend_.data_moments(x, moments_);
    for_each<double>(moments_, ceil_div(count, kBlock), [&](int64_t, std::span<const double> sums) {
      for (size_t i = 0; i < column_sums_.size(); ++i) column_sums_[i] += sums[i];
    });
    for_each<double>(stats_, count, [&](int64_t, std::span<const double> stats) {
      squared_error_ += stats[kSquaredError];
      active_ += stats[kL0];
    });
    for_each<float>(residual_, count,
                    [&](int64_t r, std::span<const float> error) { add_cosine(row(r), error); });
    count_ += count;
  }

  Evaluation result() {
    if (counts_by_pass_)
      for_each<int64_t>(last_fired_, 1, [&](int64_t, std::span<const int64_t> fired) {
        std::transform(fired.begin(), fired.end(), fired_.begin(), [](int64_t at) { return at > 0; });
      });
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
  View make(DType dtype, int64_t rows, int64_t cols, const std::vector<float>* values = nullptr) {
    View view{nullptr, dtype, rows, cols};
    view.data = backend_.allocate(view.bytes());
    if (view.data == nullptr && values != nullptr) {
      view.data = reinterpret_cast<std::byte*>(const_cast<float*>(values->data()));
      return view;
    }
    if (view.data == nullptr) {
      auto& memory = memory_.emplace_back(view.bytes() + 64);
      view.data = memory.data() + (64 - reinterpret_cast<uintptr_t>(memory.data()) % 64) % 64;
    }
    if (values != nullptr) backend_.write(view.data, values->data(), view.bytes());
    return view;
  }

  void make_packed() {
    const int64_t M = sae_.d_sae, chunks = ceil_div(M, latent_chunk(M));
    const auto as_packed = [&](View view) {
      return View{view.data, DType::u8, chunks, backend_.packed_chunk_bytes()};
    };
    if (backend_.is_asynchronous())
      packed_ = {as_packed(weights_.W_enc), as_packed(weights_.W_dec), {}};
    else
      packed_ = {make(DType::u8, chunks, backend_.packed_chunk_bytes()), {}, {}};
    backend_.pack(weights_, packed_, 0, M);
  }

  // Every positive latent of a ReLU code is wanted, however many there are: in a code of M slots, or, where
  // that many cannot be selected, by the dense pass.
  void make_code() {
    const int64_t n = sae_.d_in, M = sae_.d_sae, slots = topk_ ? std::min(sae_.k, M) : M;
    counts_by_pass_ = !topk_ && backend_.is_asynchronous();
    const int64_t reserved = counts_by_pass_ ? 1 : slots;
    if (!counts_by_pass_)
      codes_ = {make(DType::i32, rows_, slots), make(DType::f32, rows_, slots),
                make(DType::f32, rows_, slots)};
    if (counts_by_pass_) {
      last_fired_ = make(DType::i64, 1, M);
      latent_sums_ = make(DType::f32, ceil_div(M, kBlock), n);
      latent_norms_ = make(DType::f64, 1, ceil_div(M, kBlock));
    }
    backend_.reserve({n, M, rows_, rows_, reserved, 0, M, counts_by_pass_, 4});
  }

  void run_sparse(const View& x) {
    backend_.select({centered_, x.rows, packed_.encoder, weights_.b_enc, codes_, {}, {}, {}});
    DecodeTask task;
    task.x = x;
    task.sae = weights_;
    task.packed = packed_.decoder;
    task.codes = codes_;
    task.scale = 1;
    task.scalars = scalars();
    task.residual = residual_;
    task.row_stats = stats_;
    task.block_sums = sums_;
    backend_.decode(task);
    std::vector<int32_t> index(static_cast<size_t>(x.rows * codes_.index.cols));
    backend_.read(index.data(), codes_.index.data, index.size() * sizeof(int32_t));
    for_each<float>(codes_.value, x.rows, [&](int64_t r, std::span<const float> values) {
      for (size_t s = 0; s < values.size() && values[s] > 0; ++s)
        fired_[static_cast<size_t>(index[static_cast<size_t>(r) * values.size() + s])] = 1;
    });
  }

  void run_dense(const View& x) {
    backend_.dense_forward({x, centered_, weights_, packed_, 1, residual_, stats_, sums_});
    LatentTask task;
    task.pass = LatentPass::norm;
    task.last = sae_.d_sae;
    task.rows = x.rows;
    task.sae = task.m = task.v = weights_;
    task.packed = packed_;
    task.centered = centered_;
    task.residual = residual_;
    task.scalars = scalars();
    task.last_fired = last_fired_;
    task.block_sums = latent_sums_;
    task.block_norms = latent_norms_;
    backend_.update_latents_dense(task);
  }

  // The first rows of what the backend has computed.
  template <typename T, typename Work>
  void for_each(const View& view, int64_t rows, Work&& work) const {
    std::vector<T> values(static_cast<size_t>(rows * view.cols));
    backend_.read(values.data(), view.data, values.size() * sizeof(T));
    const auto cols = static_cast<size_t>(view.cols);
    for (int64_t r = 0; r < rows; ++r)
      work(r, std::span<const T>(values).subspan(static_cast<size_t>(r) * cols, cols));
  }

  void add_cosine(std::span<const float> values, std::span<const float> errors) {
    double dot = 0, x_square = 0, hat_square = 0;
    for (size_t i = 0; i < values.size(); ++i) {
      const double x = static_cast<double>(values[i]), hat = x + static_cast<double>(errors[i]);
      dot += x * hat;
      x_square += x * x;
      hat_square += hat * hat;
    }
    if (x_square > 0 && hat_square > 0) cosine_ += dot / std::sqrt(x_square * hat_square);
  }

  const StepScalars* scalars() const { return reinterpret_cast<const StepScalars*>(scalars_view_.data); }

  const SaeWeights& sae_;
  Backend& backend_;
  bool topk_;
  bool counts_by_pass_ = false;  // which latents fire is found by the dense pass
  std::vector<uint8_t> fired_;
  std::vector<std::vector<std::byte>> memory_;
  std::vector<float> x_host_;
  int64_t rows_ = 0, count_ = 0;
  SaeViews weights_;
  PackedViews packed_;
  View x_, centered_, residual_, stats_, sums_, moments_, last_fired_, latent_sums_, latent_norms_,
      scalars_view_;
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

Evaluation evaluate_sae(const SaeWeights& sae, const ActivationSet& set, int64_t max_rows, Backend& backend) {
  if (set.d_in() != sae.d_in)
    fail(ErrorCode::bad_data, "the activations have d_in {}; this SAE takes {}", set.d_in(), sae.d_in);
  Evaluator evaluator(sae, backend);
  const int64_t rows = max_rows > 0 ? std::min(max_rows, set.rows()) : set.rows();
  for (int64_t first = 0; first < rows; first += evaluator.batch_rows()) {
    const int64_t count = std::min(evaluator.batch_rows(), rows - first);
    for (int64_t r = 0; r < count; ++r) set.read(first + r, 1.0f, evaluator.row(r));
    evaluator.add(count);
  }
  return evaluator.result();
}

TrainedWeights weights_of(const TrainingState& state) {
  const auto floats = [](const View& view) {
    return std::span<const float>(view.as<float>(), static_cast<size_t>(view.rows * view.cols));
  };
  TrainedWeights weights;
  weights.W_enc = floats(state.weights.W_enc);
  weights.W_dec = floats(state.weights.W_dec);
  weights.b_enc = floats(state.weights.b_enc);
  weights.b_dec = floats(state.weights.b_dec);
  weights.d_in = state.weights.W_enc.cols;
  weights.d_sae = state.weights.W_enc.rows;
  weights.scale = state.scale;
  return weights;
}

TrainedWeights read_weights(const fs::path& checkpoint) {
  const CheckpointManifest manifest = read_manifest(checkpoint);
  TrainedWeights weights;
  for (const CheckpointFile& part : manifest.parts) weights.d_sae = std::max(weights.d_sae, part.last_row);
  const auto header = read_safetensors_header(checkpoint / "shared.safetensors");
  weights.d_in = static_cast<int64_t>(header.tensors.at("b_dec").shape.back());
  weights.scale = manifest.state.at("scale").get<double>();
  const auto tensor = [&](const char* name, int64_t rows, int64_t columns, size_t at,
                          std::span<const float>& view) {
    weights.memory[at].resize(static_cast<size_t>(rows * columns));
    view = weights.memory[at];
    return CheckpointTensor{name, "F32", columns, reinterpret_cast<std::byte*>(weights.memory[at].data())};
  };
  const int64_t M = weights.d_sae, n = weights.d_in;
  read_checkpoint_rows(manifest, 0, M,
                       {tensor("W_enc", M, n, 0, weights.W_enc), tensor("W_dec", M, n, 1, weights.W_dec),
                        tensor("b_enc", M, 1, 2, weights.b_enc)});
  read_checkpoint_shared(manifest, {tensor("b_dec", 1, n, 3, weights.b_dec)});
  return weights;
}

// With x' = s x: W_enc (s x - b_dec) + b_enc = s (W_enc (x - b_dec / s) + b_enc / s). Selection does not
// change with a positive factor, so the latents of the raw SAE are z' / s, and x_hat = W_dec z + b_dec / s:
// both biases shrink, and the decoder keeps its norm.
void export_sae(FileSystem& files, const fs::path& folder, const RunConfig& config,
                const TrainedWeights& weights, const ActivationSet& set) {
  const auto unscaled = [&](std::span<const float> bias) {
    std::vector<float> values(bias.begin(), bias.end());
    for (float& value : values) value = static_cast<float>(static_cast<double>(value) / weights.scale);
    return values;
  };
  // What the configuration does not name, the shard may: under SAELens' name or the short one.
  const auto from_metadata = [&](const std::string& given, const char* key, const char* short_key) {
    if (!given.empty()) return given;
    for (const char* name : {key, short_key})
      if (const auto it = set.metadata().find(name); it != set.metadata().end()) return it->second;
    return std::string();
  };
  const std::vector<float> b_enc = unscaled(weights.b_enc), b_dec = unscaled(weights.b_dec);
  SaeExport sae;
  sae.architecture = config.sae.architecture;
  sae.k = config.sae.k;
  sae.d_in = weights.d_in;
  sae.d_sae = weights.d_sae;
  sae.W_enc = weights.W_enc;
  sae.W_dec = weights.W_dec;
  sae.b_enc = b_enc;
  sae.b_dec = b_dec;
  sae.model_name = from_metadata(config.activations.model_name, "model_name", "model");
  sae.hook_name = from_metadata(config.activations.hook_name, "hook_name", "hook");
  write_sae(files, folder, sae);
}

}  // namespace saemill
