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
    if (task.selected) task.selected();
    backend.decode(task.decode);
    return true;
  }

  void update(Backend& backend, const LatentTask& task, bool) const override { backend.update_latents(task); }
};

}  // namespace

std::unique_ptr<Architecture> make_topk(const SaeConfig&) {
  return std::make_unique<TopK>();
}

}  // namespace saemill
