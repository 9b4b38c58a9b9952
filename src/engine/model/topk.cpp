#include "engine/model/topk.h"

namespace saemill {
namespace {

class TopK final : public Architecture {
 public:
  double encoder_scale(int64_t, int64_t) const override { return 1; }  // W_enc starts as W_dec
  bool prefers_sparse(double) const override { return true; }
  bool may_overflow() const override { return false; }

  bool forward(Backend& backend, const ForwardTask& task, bool) const override {
    backend.select(task.select);
    backend.decode(task.decode);
    return true;
  }

  void update(Backend& backend, LatentTask task, bool) const override {
    if (task.add_batch) {
      backend.group_by_latent(task.codes, task.first, task.last, task.by_latent);
      if (task.aux.index) backend.group_by_latent(task.aux, task.first, task.last, task.aux_by_latent);
    }
    backend.update_latents(task);
  }
};

}  // namespace

std::unique_ptr<Architecture> make_topk(const SaeConfig&) {
  return std::make_unique<TopK>();
}

}  // namespace saemill
