// Where the buffers of a GPU rank lie. Private to this folder.
#pragma once

#include "common/plan/plan.h"

namespace saemill {

// Nothing is shared but the signals, which the hosts exchange: each GPU has its own memory. Masters and
// moments are there for the rank's own latents only; the GEMMs read bf16 copies of all, or in f32 the
// masters, of which then every rank has all.
void place_on_gpu(const PlanInput& input, Plan& plan);

}  // namespace saemill
