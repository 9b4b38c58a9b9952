#include "common/base/error.h"
#include "conformance/backends.h"
#include "engine/backend/cuda/cuda_backend.h"

namespace saemill {

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const DType low : {DType::f32, DType::bf16})
    for (const Shape& shape : conformance_shapes()) all.push_back({"cuda", low, "", 1, shape});
  return all;
}

std::unique_ptr<Backend> make_backend(const Case& c) {
  if (const std::string reason = gpu::unavailable(); !reason.empty())
    fail(ErrorCode::bad_config, "{}", reason);
  return make_cuda_backend(c.shape.d_in, c.shape.d_sae, c.low).backend;
}

// On a GPU operands of f32 are rounded to TF32, which has 10 bits of fraction.
double tolerance(const Case& c) {
  const bool emulated = gpu::devices().empty() || gpu::devices()[0].name.find("mulated") != std::string::npos;
  return c.low == DType::bf16 ? 5e-3 : emulated ? 1e-6 : 1e-3;
}

}  // namespace saemill
