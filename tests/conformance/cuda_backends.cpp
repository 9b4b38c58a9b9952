#include <cstdlib>

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

namespace {

// A GPU does, to 10 bits of fraction; the emulation where it is asked to.
bool rounds_to_tf32() {
  const bool emulated = gpu::devices().empty() || gpu::devices()[0].name.find("mulated") != std::string::npos;
  return !emulated || std::getenv("SAEMILL_TWIN_TF32") != nullptr;
}

}  // namespace

double tolerance(const Case& c) {
  return c.low == DType::bf16 ? 5e-3 : rounds_to_tf32() ? 1e-3 : 1e-6;
}

double dense_tolerance(const Case& c) {
  return c.low == DType::f32 && rounds_to_tf32() ? 5e-3 : tolerance(c);
}

}  // namespace saemill
