// Row-major matrix products with float32 sums and results. By cuBLASLt; a twin of plain loops stands in for
// it in the emulation.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "engine/gpu/runtime.h"
#include "engine/tensor/view.h"

namespace saemill::gpu {

enum class GemmForm {
  nt,  // C[m,n] = A[m,k] B[n,k]^T
  nn,  // C[m,n] = A[m,k] B[k,n]
  tn,  // C[m,n] = A[k,m]^T B[k,n]
};

struct GemmShape {
  int64_t m = 0, n = 0, k = 0;
  GemmForm form = GemmForm::nt;
  DType low = DType::bf16;  // of A and B: bf16, or f32, which is rounded to TF32
  bool accumulate = false;  // C += instead of C =

  int64_t a_cols() const { return form == GemmForm::tn ? m : k; }
  int64_t b_cols() const { return form == GemmForm::nt ? k : n; }
  auto operator<=>(const GemmShape&) const = default;
};

// Bytes that A, B and C begin at multiples of. Their rows may be any distance apart: cuBLASLt learns that
// from the layouts, and of less alignment here it would take that no algorithm fits.
constexpr uint32_t kGemmAlignment = 16;

inline void check_gemm(const GemmShape& shape, int64_t ldc) {
  ensure(shape.m > 0 && shape.n > 0 && shape.k > 0 && ldc >= shape.n, "the sizes of a product");
  ensure(shape.low == DType::bf16 || shape.low == DType::f32, "the type of a product's operands");
}

inline void check_gemm_alignment(const void* a, const void* b, const void* c) {
  const uintptr_t pointers =
      reinterpret_cast<uintptr_t>(a) | reinterpret_cast<uintptr_t>(b) | reinterpret_cast<uintptr_t>(c);
  ensure(pointers % kGemmAlignment == 0, "the alignment of a product's operands");
}

// As NVIDIA advises for sm_90; other devices do with it too.
constexpr size_t kGemmWorkspaceBytes = size_t{32} << 20;

// Of the device that is current when it is made. One stream at a time, because products share the workspace.
// Results repeat bit for bit: none are summed by atomics.
//
// Errors: Error{retry} where the device fails, Error{internal} where cuBLAS refuses; the text has its name
// for the status, and the shape.
class GemmEngine {
 public:
  // Device memory, aligned to 256, which must outlive the engine's work.
  GemmEngine(void* workspace, size_t workspace_bytes);
  ~GemmEngine();
  GemmEngine(GemmEngine&&) noexcept;
  GemmEngine& operator=(GemmEngine&&) noexcept;

  // Chooses the algorithm, so that run() only enqueues. Without it run() does so at the first call.
  void prepare(const GemmShape& shape, int64_t ldc);
  // How many algorithms there are to choose from, at most `most`; number 0 is what prepare() chooses, the one
  // that is expected to be the fastest.
  int suggestions(const GemmShape& shape, int64_t ldc, int most);
  // That one of them from here on.
  void choose(const GemmShape& shape, int64_t ldc, int number);
  // Rows of C are `ldc` apart, those of A and B follow each other.
  void run(const GemmShape& shape, const void* a, const void* b, float* c, int64_t ldc, const Stream& stream);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace saemill::gpu
