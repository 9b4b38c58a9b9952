#include "engine/data/convert.h"

#include "common/base/error.h"

namespace saemill {
namespace {

bool has_avx512() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl");
}

bool has_avx2() {
  return __builtin_cpu_supports("avx2");
}

}  // namespace

const Converters& best_converters() {
  if (has_avx512()) return converters_avx512();
  return has_avx2() ? converters_avx2() : converters_sse2();
}

const Converters& converters_for(const std::string& isa) {
  if (isa == "avx512" && has_avx512()) return converters_avx512();
  if (isa == "avx2" && has_avx2()) return converters_avx2();
  if (isa == "sse2") return converters_sse2();
  fail(ErrorCode::bad_config,
       "this processor does not convert with {}; accepted: avx512, avx2, sse2, as far as it has them", isa);
}

}  // namespace saemill
