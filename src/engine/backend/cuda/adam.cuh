// Adam (Kingma and Ba 2015) for one weight: the formulas of the reference backend in f32.
#pragma once

#include "engine/backend/cuda/sums.h"
#include "engine/gpu/kernel.h"

namespace saemill::gpu {

__device__ inline void adam_element(float& w, float gradient, float& m, float& v, const AdamConstants& c) {
  const float g = gradient * c.clip_factor;
  m = c.beta1 * m + c.one_minus_beta1 * g;
  v = c.beta2 * v + c.one_minus_beta2 * (g * g);
  w -= c.step_size * m / (__fsqrt_rn(v) * c.inverse_root_bias2 + c.epsilon);
}

}  // namespace saemill::gpu
