// What distinguishes the architectures: how a code comes from activations, and how gradients come from the
// code. A step (engine/train/step.h) calls these on this rank's rows and latents. architectures.cpp holds the
// table.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/protocol/run_config.h"
#include "engine/backend/backend.h"

namespace saemill {

// This rank's rows of the micro-batch, as views that start at its first row.
struct ForwardTask {
  DecodeTask decode;  // outputs included
  SelectTask select;
  View centered;
  PackedViews packed;
  std::function<void()> selected = {};  // where given (TopK): called when codes are there, without gradients
};

class Architecture {
 public:
  virtual ~Architecture() = default;
  // The weights' start: W_enc and W_dec rows of latent j from a random unit vector.
  virtual double encoder_scale(int64_t d_in, int64_t d_sae) const = 0;
  // Whether the step computes sparse codes, given the mean L0 of the step before (negative: none yet). The
  // same on all ranks.
  virtual bool prefers_sparse(double previous_l0) const = 0;
  // Whether forward(sparse) can find a code too large, so that ranks must agree on the dense path.
  virtual bool may_overflow() const = 0;
  // Residual, statistics, and where sparse the codes with their gradients. False: the sparse code does not
  // fit; results are void.
  virtual bool forward(Backend& backend, const ForwardTask& task, bool sparse) const = 0;
  // The codes are grouped by latent where sparse.
  virtual void update(Backend& backend, const LatentTask& task, bool sparse) const = 0;
};

std::unique_ptr<Architecture> make_architecture(const SaeConfig& config);
std::vector<std::string> architecture_names();

}  // namespace saemill
