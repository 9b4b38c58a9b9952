// One GEMM call of a fixed shape, C[m, n] = A[m, k] * B[k, n] (+ C), on the calling thread, by oneDNN. The
// bits depend on the shape alone, because the shape never changes and every call runs on one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "engine/tensor/view.h"

namespace saemill {

struct GemmShape {
  int64_t m = 0, n = 0, k = 0;
  DType dtype = DType::f32;   // of A and B: f32 or bf16; C is f32
  bool a_transposed = false;  // A is stored [k, m]
  bool packed_b = true;       // B in oneDNN's own layout, by pack(); else stored [k, n]
  bool accumulate = false;
};

// run() and pack() are thread-safe with a scratch of their own per thread.
class Gemm {
 public:
  explicit Gemm(
      const GemmShape& shape);  // Error{retry} naming the shape where oneDNN has no such product on this CPU
  ~Gemm();
  Gemm(Gemm&&) noexcept;

  size_t packed_bytes() const;
  size_t scratch_bytes() const;
  std::string implementation() const;
  // B from [n, k] (transposed) or [k, n].
  void pack(const void* b, bool transposed, void* packed) const;
  void run(const void* a, const void* b, float* c, void* scratch) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace saemill
