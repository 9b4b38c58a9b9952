// ReLU with an L1 penalty (Bricken et al. 2023, with the decoder rows at unit norm):
//   z = relu(W_enc (x - b_dec) + b_enc),  x_hat = W_dec^T z + b_dec,  loss = |x_hat - x|^2 + l1_coefficient
//   |z|_1.
// A young code is half full and goes the dense way; once few latents are active the sparse way is faster.
#pragma once

#include "engine/model/architecture.h"

namespace saemill {

std::unique_ptr<Architecture> make_relu(const SaeConfig& config);

}  // namespace saemill
