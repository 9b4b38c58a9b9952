// TopK with AuxK (Gao et al. 2024, "Scaling and evaluating sparse autoencoders", sections 2.3 and A.2):
//   z = relu(top_k(W_enc (x - b_dec) + b_enc)),  x_hat = W_dec^T z + b_dec,
//   loss = |x_hat - x|^2 + aux_coefficient |aux_hat - (x - x_hat)|^2, the residual detached,
// where aux_hat decodes, without the bias, the aux_k largest positive pre-activations among the dead latents.
#pragma once

#include "engine/model/architecture.h"

namespace saemill {

std::unique_ptr<Architecture> make_topk(const SaeConfig& config);

}  // namespace saemill
