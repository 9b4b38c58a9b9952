// gemm.h on the host, for the emulation.
//
// Environment, read once: SAEMILL_TWIN_TF32=nearest|truncate rounds operands of f32 as a GPU does, either of
// which cuBLASLt may do. Without it they are not rounded.
#include <bit>
#include <cstdlib>
#include <string>
#include <vector>

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

enum class Tf32 { off, nearest, truncate };

Tf32 read_tf32() {
  const char* text = std::getenv("SAEMILL_TWIN_TF32");
  const std::string mode = text ? text : "";
  if (mode.empty()) return Tf32::off;
  if (mode == "nearest") return Tf32::nearest;
  if (mode == "truncate") return Tf32::truncate;
  fail(ErrorCode::bad_config, "SAEMILL_TWIN_TF32 is '{}': nearest or truncate", mode);
}

Tf32 tf32() {
  static const Tf32 mode = read_tf32();
  return mode;
}

// To 10 bits of fraction; nearest, where two are as near, is the even one.
float to_tf32(float value) {
  uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7f800000u) == 0x7f800000u) return value;  // infinite, or no number
  if (tf32() == Tf32::nearest) bits += 0xfffu + ((bits >> 13) & 1u);
  return std::bit_cast<float>(bits & 0xffffe000u);
}

std::vector<float> to_tf32(const float* values, int64_t count) {
  std::vector<float> rounded(static_cast<size_t>(count));
  for (size_t i = 0; i < rounded.size(); ++i) rounded[i] = to_tf32(values[i]);
  return rounded;
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

void multiply_f32(const GemmShape& s, const float* a, const float* b, float* c, int64_t ldc) {
  if (tf32() == Tf32::off) return multiply(s, a, b, c, ldc);
  multiply(s, to_tf32(a, s.m * s.k).data(), to_tf32(b, s.n * s.k).data(), c, ldc);
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

int GemmEngine::suggestions(const GemmShape& shape, int64_t ldc, int /*most*/) {
  check_gemm(shape, ldc);
  return 1;
}

void GemmEngine::choose(const GemmShape& shape, int64_t ldc, int number) {
  check_gemm(shape, ldc);
  ensure(number == 0, "the number of a product's algorithm");
}

void GemmEngine::run(const GemmShape& shape, const void* a, const void* b, float* c, int64_t ldc,
                     const Stream& stream) {
  check_gemm(shape, ldc);
  check_gemm_alignment(a, b, c);
  emulation::enqueue(stream, "gemm", [=] {
    if (shape.low == DType::bf16)
      multiply(shape, static_cast<const BFloat16*>(a), static_cast<const BFloat16*>(b), c, ldc);
    else
      multiply_f32(shape, static_cast<const float*>(a), static_cast<const float*>(b), c, ldc);
  });
}

}  // namespace saemill::gpu
