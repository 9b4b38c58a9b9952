// Plain loops in double: the specification that every other backend is compared with.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "common/plan/tiles.h"
#include "engine/backend/backend.h"

namespace saemill {
namespace {

double dot(const double* a, const double* b, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

struct Gradient {
  std::vector<double> enc, dec;
  double bias = 0;
};

void adam_element(double& w, double g, double& m, double& v, const AdamStep& adam) {
  m = adam.beta1 * m + (1 - adam.beta1) * g;
  v = adam.beta2 * v + (1 - adam.beta2) * g * g;
  const double m_hat = m / (1 - std::pow(adam.beta1, static_cast<double>(adam.step)));
  const double v_hat = v / (1 - std::pow(adam.beta2, static_cast<double>(adam.step)));
  w -= adam.lr * m_hat / (std::sqrt(v_hat) + adam.epsilon);
}

class ReferenceBackend final : public Backend {
 public:
  ReferenceBackend(int64_t d_in, int64_t d_sae) : n_(d_in), chunk_(latent_chunk(d_sae)) {}
  std::string name() const override { return "reference"; }
  DType real() const override { return DType::f64; }
  DType low() const override { return DType::f64; }
  int64_t packed_chunk_bytes() const override { return chunk_ * n_ * 8; }

 protected:
  void do_center(const View& x, const View& b_dec, const View& centered) override {
    std::fill_n(centered.as<double>(), centered.rows * n_, 0.0);
    for (int64_t r = 0; r < x.rows; ++r)
      for (int64_t i = 0; i < n_; ++i)
        centered.row<double>(r)[i] = x.row<double>(r)[i] - b_dec.as<double>()[i];
  }

  void do_pack(const SaeViews& sae, const PackedViews& packed, int64_t first, int64_t last) override {
    const auto copy = [&](const View& from, const View& to) {
      if (to) std::copy(from.row<double>(first), from.row<double>(last), weights(to) + first * n_);
    };
    copy(sae.W_enc, packed.encoder);
    copy(sae.W_dec, packed.decoder);
    copy(sae.W_dec, packed.decoder_transposed);
  }

  void do_select(const SelectTask& task) override {
    const int64_t latents = task.b_enc.cols;
    std::vector<int32_t> all(static_cast<size_t>(latents));
    std::iota(all.begin(), all.end(), 0);
    std::vector<double> pre(all.size());
    bool more = false;
    for (int64_t r = 0; r < task.rows; ++r) {
      for (int64_t j = 0; j < latents; ++j)
        pre[static_cast<size_t>(j)] =
            dot(task.centered.row<double>(r), weights(task.packed) + j * n_, n_) + task.b_enc.as<double>()[j];
      more |= select_row(pre, all, task.codes, r);
      if (!task.dead) continue;
      const auto [begin, end] = dead_list(task.dead);
      select_row(pre, std::vector<int32_t>(begin, end), task.aux, r);
    }
    if (task.overflow) *task.overflow.as<int32_t>() = more;
  }

  void do_decode(const DecodeTask& task) override {
    std::fill_n(task.block_sums.as<double>(), ceil_div(task.x.rows, kBlock) * n_, 0.0);
    for (int64_t r = 0; r < task.x.rows; ++r) {
      double* stats = task.row_stats.row<double>(r);
      std::vector<double> x_hat(task.sae.b_dec.as<double>(), task.sae.b_dec.as<double>() + n_);
      add_decoded(task.sae, task.codes, r, x_hat);
      std::vector<double> aux_hat(static_cast<size_t>(n_), 0.0);
      if (task.aux.index) add_decoded(task.sae, task.aux, r, aux_hat);
      std::fill_n(stats, kRowStats, 0.0);
      for (int64_t i = 0; i < n_; ++i) {
        const double error = x_hat[static_cast<size_t>(i)] - task.x.row<double>(r)[i];
        stats[kSquaredError] += error * error;
        task.residual.row<double>(r)[i] = task.scale * error;
        task.block_sums.row<double>(r / kBlock)[i] += task.scale * error;
        if (!task.aux.index) continue;
        const double aux_error = aux_hat[static_cast<size_t>(i)] + error;  // aux_hat - (x - x_hat)
        stats[kAuxSquaredError] += aux_error * aux_error;
        task.aux_residual.row<double>(r)[i] = task.scale * task.aux_coefficient * aux_error;
      }
      code_gradient(task.sae, task.codes, task.residual, task.scalars->l1, r);
      if (task.aux.index) code_gradient(task.sae, task.aux, task.aux_residual, 0, r);
      for (int64_t s = 0; s < task.codes.value.cols; ++s) {
        const double value = task.codes.value.row<double>(r)[s];
        if (value > 0) stats[kL1] += value, stats[kL0] += 1;
      }
    }
  }

  void do_group_by_latent(const Codes& codes, int64_t first, int64_t last, const LatentIndex& out) override {
    int64_t* offsets = out.offsets.as<int64_t>();
    int64_t end = 0;
    for (int64_t j = first; j < last; ++j) {
      offsets[j - first] = end;
      for (int64_t p = 0; p < codes.index.rows * codes.index.cols; ++p)
        if (codes.value.as<double>()[p] > 0 && codes.index.as<int32_t>()[p] == j)
          out.positions.as<int32_t>()[end++] = static_cast<int32_t>(p);
    }
    offsets[last - first] = end;
  }

  void do_dense_forward(const DenseForwardTask& task) override {
    std::fill_n(task.block_sums.as<double>(), ceil_div(task.x.rows, kBlock) * n_, 0.0);
    for (int64_t r = 0; r < task.x.rows; ++r) {
      double* stats = task.row_stats.row<double>(r);
      std::fill_n(stats, kRowStats, 0.0);
      std::vector<double> x_hat(task.sae.b_dec.as<double>(), task.sae.b_dec.as<double>() + n_);
      for (int64_t j = 0; j < task.sae.W_enc.rows; ++j) {
        const double z = pre_activation(task.centered, task.packed.encoder, task.sae, r, j);
        if (z <= 0) continue;
        stats[kL1] += z;
        stats[kL0] += 1;
        for (int64_t i = 0; i < n_; ++i)
          x_hat[static_cast<size_t>(i)] += z * (weights(task.packed.decoder) + j * n_)[i];
      }
      for (int64_t i = 0; i < n_; ++i) {
        const double error = x_hat[static_cast<size_t>(i)] - task.x.row<double>(r)[i];
        stats[kSquaredError] += error * error;
        task.residual.row<double>(r)[i] = task.scale * error;
        task.block_sums.row<double>(r / kBlock)[i] += task.scale * error;
      }
    }
  }

  void do_update_latents(const LatentTask& task) override {
    clear_blocks(task);
    for (int64_t j = task.first; j < task.last; ++j) {
      Gradient gradient = stored_gradient(task, j);
      if (task.add_batch) {
        add_codes(gradient, task.codes, task.by_latent, task.residual, task.centered, j - task.first);
        if (task.aux.index)
          add_codes(gradient, task.aux, task.aux_by_latent, task.aux_residual, task.centered, j - task.first);
        const int64_t* offsets = task.by_latent.offsets.as<int64_t>() + (j - task.first);
        if (task.last_fired && offsets[1] > offsets[0]) task.last_fired.as<int64_t>()[j] = task.scalars->now;
      }
      finish(task, j, gradient);
    }
  }

  void do_update_latents_dense(const LatentTask& task) override {
    clear_blocks(task);
    for (int64_t j = task.first; j < task.last; ++j) {
      Gradient gradient = stored_gradient(task, j);
      for (int64_t r = 0; task.add_batch && r < task.rows; ++r) {
        const double z = pre_activation(task.centered, task.packed.encoder, task.sae, r, j);
        if (z <= 0) continue;
        const double g =
            dot(task.residual.row<double>(r), weights(task.packed.decoder_transposed) + j * n_, n_) +
            task.scalars->l1;
        for (int64_t i = 0; i < n_; ++i) {
          gradient.dec[static_cast<size_t>(i)] += z * task.residual.row<double>(r)[i];
          gradient.enc[static_cast<size_t>(i)] += g * task.centered.row<double>(r)[i];
        }
        gradient.bias += g;
        if (task.last_fired) task.last_fired.as<int64_t>()[j] = task.scalars->now;
      }
      finish(task, j, gradient);
    }
  }

  void do_data_moments(const View& x, const View& out) override {
    std::fill_n(out.as<double>(), ceil_div(x.rows, kBlock) * (n_ + 1), 0.0);
    for (int64_t r = 0; r < x.rows; ++r)
      for (int64_t i = 0; i < n_; ++i) {
        const double value = x.row<double>(r)[i];
        out.row<double>(r / kBlock)[i] += value;
        out.row<double>(r / kBlock)[n_] += value * value;
      }
  }

  void do_adam(const View& param, const View& grad, const View& m, const View& v, const StepScalars* scalars,
               const double* clip_factor) override {
    for (int64_t i = 0; i < param.cols; ++i)
      adam_element(param.as<double>()[i], (clip_factor ? *clip_factor : 1.0) * grad.as<double>()[i],
                   m.as<double>()[i], v.as<double>()[i], scalars->adam);
  }

 private:
  static double* weights(const View& packed) { return reinterpret_cast<double*>(packed.data); }

  double pre_activation(const View& centered, const View& packed, const SaeViews& sae, int64_t r,
                        int64_t j) const {
    return dot(centered.row<double>(r), weights(packed) + j * n_, n_) + sae.b_enc.as<double>()[j];
  }

  static bool select_row(const std::vector<double>& pre, std::vector<int32_t> candidates, const Codes& codes,
                         int64_t r) {
    const auto at = [&](int32_t j) { return pre[static_cast<size_t>(j)]; };
    std::erase_if(candidates, [&](int32_t j) { return !(at(j) > 0); });
    std::stable_sort(candidates.begin(), candidates.end(),
                     [&](int32_t a, int32_t b) { return at(a) > at(b); });
    const auto k = static_cast<size_t>(codes.index.cols);
    const bool more = candidates.size() > k;
    if (more) candidates.resize(k);
    std::sort(candidates.begin(), candidates.end());
    for (size_t s = 0; s < k; ++s) {
      codes.index.row<int32_t>(r)[s] = s < candidates.size() ? candidates[s] : 0;
      codes.value.row<double>(r)[s] = s < candidates.size() ? at(candidates[s]) : 0.0;
    }
    return more;
  }

  void add_decoded(const SaeViews& sae, const Codes& codes, int64_t r, std::vector<double>& out) const {
    for (int64_t s = 0; s < codes.index.cols; ++s) {
      const double z = codes.value.row<double>(r)[s];
      if (z <= 0) continue;
      const double* row = sae.W_dec.row<double>(codes.index.row<int32_t>(r)[s]);
      for (int64_t i = 0; i < n_; ++i) out[static_cast<size_t>(i)] += z * row[i];
    }
  }

  void code_gradient(const SaeViews& sae, const Codes& codes, const View& residual, double l1,
                     int64_t r) const {
    for (int64_t s = 0; s < codes.index.cols; ++s) {
      const double* row = sae.W_dec.row<double>(codes.index.row<int32_t>(r)[s]);
      codes.grad.row<double>(r)[s] =
          codes.value.row<double>(r)[s] > 0 ? dot(residual.row<double>(r), row, n_) + l1 : 0.0;
    }
  }

  static void clear_blocks(const LatentTask& task) {
    const int64_t first = task.first / kBlock, last = ceil_div(task.last, kBlock), n = task.sae.W_enc.cols;
    std::fill_n(task.block_sums.row<double>(first), (last - first) * n, 0.0);
    std::fill_n(task.block_norms.as<double>() + first, last - first, 0.0);
  }

  Gradient stored_gradient(const LatentTask& task, int64_t j) const {
    Gradient gradient{std::vector<double>(static_cast<size_t>(n_)),
                      std::vector<double>(static_cast<size_t>(n_)), 0};
    if (!task.grad_W_enc) return gradient;
    const int64_t row = j - task.first;
    gradient.enc.assign(task.grad_W_enc.row<double>(row), task.grad_W_enc.row<double>(row + 1));
    gradient.dec.assign(task.grad_W_dec.row<double>(row), task.grad_W_dec.row<double>(row + 1));
    gradient.bias = task.grad_b_enc.as<double>()[row];
    return gradient;
  }

  void add_codes(Gradient& gradient, const Codes& codes, const LatentIndex& by_latent, const View& residual,
                 const View& centered, int64_t latent) const {
    const int64_t* offsets = by_latent.offsets.as<int64_t>() + latent;
    for (int64_t p = offsets[0]; p < offsets[1]; ++p) {
      const int64_t slot = by_latent.positions.as<int32_t>()[p], r = slot / codes.index.cols;
      const double z = codes.value.as<double>()[slot], g = codes.grad.as<double>()[slot];
      for (int64_t i = 0; i < n_; ++i) {
        gradient.dec[static_cast<size_t>(i)] += z * residual.row<double>(r)[i];
        gradient.enc[static_cast<size_t>(i)] += g * centered.row<double>(r)[i];
      }
      gradient.bias += g;
    }
  }

  void finish(const LatentTask& task, int64_t j, Gradient& gradient) const {
    if (task.pass == LatentPass::accumulate) {
      const int64_t row = j - task.first;
      std::copy(gradient.enc.begin(), gradient.enc.end(), task.grad_W_enc.row<double>(row));
      std::copy(gradient.dec.begin(), gradient.dec.end(), task.grad_W_dec.row<double>(row));
      task.grad_b_enc.as<double>()[row] = gradient.bias;
      return;
    }
    double* w_enc = task.sae.W_enc.row<double>(j);
    double* w_dec = task.sae.W_dec.row<double>(j);
    const double parallel = task.unit_norm ? dot(gradient.dec.data(), w_dec, n_) : 0.0;
    double squares = gradient.bias * gradient.bias;
    for (int64_t i = 0; i < n_; ++i) {
      const auto at = static_cast<size_t>(i);
      task.block_sums.row<double>(j / kBlock)[i] += gradient.bias * w_enc[i];
      gradient.dec[at] -= parallel * w_dec[i];
      squares += gradient.dec[at] * gradient.dec[at] + gradient.enc[at] * gradient.enc[at];
    }
    task.block_norms.as<double>()[j / kBlock] += squares;
    if (task.pass == LatentPass::norm) return;
    const double clip_factor = task.clip_factor ? *task.clip_factor : 1.0;
    const AdamStep& adam = task.scalars->adam;
    for (int64_t i = 0; i < n_; ++i) {
      const auto at = static_cast<size_t>(i);
      adam_element(w_enc[i], clip_factor * gradient.enc[at], task.m.W_enc.row<double>(j)[i],
                   task.v.W_enc.row<double>(j)[i], adam);
      adam_element(w_dec[i], clip_factor * gradient.dec[at], task.m.W_dec.row<double>(j)[i],
                   task.v.W_dec.row<double>(j)[i], adam);
    }
    adam_element(task.sae.b_enc.as<double>()[j], clip_factor * gradient.bias, task.m.b_enc.as<double>()[j],
                 task.v.b_enc.as<double>()[j], adam);
    const double norm = std::sqrt(dot(w_dec, w_dec, n_));
    if (task.unit_norm && norm > 0)
      for (int64_t i = 0; i < n_; ++i) w_dec[i] /= norm;
    const auto copy = [&](const double* from, const View& to) {
      if (to) std::copy_n(from, n_, weights(to) + j * n_);
    };
    copy(w_enc, task.packed.encoder);
    copy(w_dec, task.packed.decoder);
    copy(w_dec, task.packed.decoder_transposed);
  }

  int64_t n_, chunk_;
};

}  // namespace

std::unique_ptr<Backend> make_reference_backend(int64_t d_in, int64_t d_sae) {
  return std::make_unique<ReferenceBackend>(d_in, d_sae);
}

}  // namespace saemill
