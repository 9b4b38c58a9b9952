#include "engine/model/relu.h"

#include <algorithm>

#include "common/plan/plan.h"

namespace saemill {
namespace {

class Relu final : public Architecture {
 public:
  explicit Relu(int64_t d_sae) : sparse_limit_(static_cast<double>(sparse_l0_limit(d_sae))) {}
  // Tied encoder and decoder of M random unit rows amplify by M / n; this starts near x_hat = x / 2.
  double encoder_scale(int64_t d_in, int64_t d_sae) const override {
    return std::min(1.0, static_cast<double>(d_in) / static_cast<double>(d_sae));
  }
  bool prefers_sparse(double previous_l0) const override {
    return previous_l0 >= 0 && previous_l0 <= sparse_limit_;
  }
  bool may_overflow() const override { return true; }

  bool forward(Backend& backend, const ForwardTask& task, bool sparse) const override {
    if (sparse) {
      backend.select(task.select);
      int32_t overflow = 0;
      backend.read(&overflow, task.select.overflow.data, sizeof overflow);
      if (overflow != 0) return false;
      backend.decode(task.decode);
      return true;
    }
    backend.dense_forward({task.decode.x, task.centered, task.decode.sae, task.packed, task.decode.scale,
                           task.decode.residual, task.decode.row_stats, task.decode.block_sums});
    return true;
  }

  void update(Backend& backend, const LatentTask& task, bool sparse) const override {
    sparse ? backend.update_latents(task) : backend.update_latents_dense(task);
  }

 private:
  double sparse_limit_;
};

}  // namespace

std::unique_ptr<Architecture> make_relu(const SaeConfig& config) {
  return std::make_unique<Relu>(config.d_sae);
}

}  // namespace saemill
