// Stored activations as float32. convert_impl.h is compiled once for each instruction set; the table of the
// best one that this processor has is chosen at run time. Results are the same bits with each of them.
#pragma once

#include <cstdint>
#include <string>

namespace saemill {

// out[i] = scale * from[i] for i in [0, n), where from[i] as a float is exact. False: one of them is NaN or
// Inf, and `out` is void. Pointers are aligned to their elements; the ranges do not overlap. Nothing
// allocates or throws.
struct Converters {
  const char* isa;
  bool (*f32)(const float* from, int64_t n, float scale, float* out);
  bool (*f16)(const uint16_t* from, int64_t n, float scale, float* out);
  bool (*bf16)(const uint16_t* from, int64_t n, float scale, float* out);
};

const Converters& converters_avx512();
const Converters& converters_avx2();
const Converters& converters_sse2();
const Converters& best_converters();                       // of this processor
const Converters& converters_for(const std::string& isa);  // Error{bad_config} where this processor lacks it

}  // namespace saemill
