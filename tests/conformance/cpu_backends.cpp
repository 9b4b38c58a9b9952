#include "conformance/backends.h"

namespace saemill {

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const DType low : {DType::f32, DType::bf16})
    for (const Shape& shape : conformance_shapes())
      for (const char* isa : {"avx512", "avx2", "sse2"})
        for (const int threads : {1, 3}) all.push_back({"cpu", low, isa, threads, shape});
  return all;
}

std::unique_ptr<Backend> make_backend(const Case& c) {
  return make_cpu_backend(c.shape.d_in, c.shape.d_sae, c.low, c.threads, c.isa);
}

double tolerance(const Case& c) {
  return c.low == DType::bf16 ? 5e-3 : 1e-6;
}

double dense_tolerance(const Case& c) {
  return tolerance(c);
}

}  // namespace saemill
