#include "engine/backend/cpu/kernels.h"

#include "common/base/error.h"

namespace saemill {
namespace {

bool has_avx512() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
}

bool has_avx2() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

}  // namespace

const Kernels& best_kernels() {
  if (has_avx512()) return kernels_avx512();
  return has_avx2() ? kernels_avx2() : kernels_sse2();
}

const Kernels& kernels_for(const std::string& isa) {
  if (isa == "avx512" && has_avx512()) return kernels_avx512();
  if (isa == "avx2" && has_avx2()) return kernels_avx2();
  if (isa == "sse2") return kernels_sse2();
  fail(ErrorCode::bad_config,
       "this processor does not run {} kernels; accepted: avx512, avx2, sse2, as far as it has them", isa);
}

}  // namespace saemill
