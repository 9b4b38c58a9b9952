// gemm.h on the host, for the emulation. Products of f32 operands are not rounded to TF32.
#include <bit>

#include "common/base/error.h"
#include "engine/backend/cuda/gemm.h"
#include "gpu_emulation_control.h"

namespace saemill::gpu {
namespace {

float at(const float* values, int64_t i) {
  return values[i];
}
float at(const BFloat16* values, int64_t i) {
  return std::bit_cast<float>(static_cast<uint32_t>(values[i].bits) << 16);
}

template <typename Low>
void multiply(const GemmShape& s, const Low* a, const Low* b, float* c, int64_t ldc) {
  const bool a_turned = s.form == GemmForm::tn, b_turned = s.form == GemmForm::nt;
  for (int64_t i = 0; i < s.m; ++i)
    for (int64_t j = 0; j < s.n; ++j) {
      float sum = 0;
      for (int64_t p = 0; p < s.k; ++p)
        sum += at(a, a_turned ? p * s.m + i : i * s.k + p) * at(b, b_turned ? j * s.k + p : p * s.n + j);
      float& out = c[i * ldc + j];
      out = s.accumulate ? out + sum : sum;
    }
}

}  // namespace

struct GemmEngine::Impl {};

GemmEngine::GemmEngine(void* /*workspace*/, size_t /*workspace_bytes*/) {}
GemmEngine::~GemmEngine() = default;
GemmEngine::GemmEngine(GemmEngine&&) noexcept = default;
GemmEngine& GemmEngine::operator=(GemmEngine&&) noexcept = default;

void GemmEngine::prepare(const GemmShape& shape, int64_t ldc) {
  check_gemm(shape, ldc);
}

void GemmEngine::run(const GemmShape& shape, const void* a, const void* b, float* c, int64_t ldc,
                     const Stream& stream) {
  check_gemm(shape, ldc);
  check_gemm_alignment(a, b, c);
  emulation::enqueue(stream, "gemm", [=] {
    if (shape.low == DType::bf16)
      multiply(shape, static_cast<const BFloat16*>(a), static_cast<const BFloat16*>(b), c, ldc);
    else
      multiply(shape, static_cast<const float*>(a), static_cast<const float*>(b), c, ldc);
  });
}

}  // namespace saemill::gpu
