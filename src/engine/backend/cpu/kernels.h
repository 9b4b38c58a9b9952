// The loops of the step that are not GEMMs. kernels_impl.h is compiled once for each instruction set; the
// table of the best one that this processor has is chosen at run time. Every sum over n has one order, which
// depends on the instruction set alone. Pointers need no alignment. No function allocates or throws.
#pragma once

#include <cstdint>
#include <string>

#include "engine/tensor/view.h"

namespace saemill {

// Candidates of one row: those above `threshold`, in ascending latent order of arrival.
struct SelectState {
  float threshold;
  int32_t count;
  int32_t capacity;  // of value and index, which have room for 16 more
  float* value;
  int32_t* index;
};

struct AdamConstants {
  float beta1, one_minus_beta1, beta2, one_minus_beta2;
  float step_size;           // lr / (1 - beta1^t)
  float inverse_root_bias2;  // 1 / sqrt(1 - beta2^t)
  float epsilon;
  float clip_factor;
};

struct LatentRow {
  int64_t n;
  float* gradient_enc;  // in; after projection, scaled by clip_factor
  float* gradient_dec;
  float *w_enc, *w_dec, *m_enc, *m_dec, *v_enc, *v_dec;
  bool unit_norm;
};

template <typename Low>
struct LowKernels {
  // out = low(x - b)
  void (*center)(const float* x, const float* b, int64_t n, Low* out);
  // out = low(in)
  void (*convert)(const float* in, int64_t n, Low* out);
  // scaled = factor * error; out = low(scaled); sums += scaled where sums is given. Returns the sum of
  // error^2.
  double (*emit)(const float* error, float factor, int64_t n, float* scaled, Low* out, float* sums);
  // dec += sum_i z[i] * residual[rows[i]], enc += sum_i g[i] * centered[rows[i]], in the order of i.
  void (*accumulate)(float* dec, float* enc, int64_t n, const Low* residual, const Low* centered,
                     int64_t count, const int32_t* rows, const float* z, const float* g);
  // One row of a dense tile: out = low(relu(pre + bias)); adds to l1 the values and to l0 their number.
  void (*relu)(const float* pre, const float* bias, int64_t columns, Low* out, double* l1, double* l0);
  // Likewise, with the gradient of the pre-activation g = (dz + l1) where active; bias_sums += g; fired |=
  // active.
  void (*relu_gradient)(const float* pre, const float* bias, const float* dz, float l1, int64_t columns,
                        Low* z, Low* g, float* bias_sums, uint8_t* fired);
};

struct Kernels {
  const char* isa;
  // Appends columns [begin, end) with row[c] + bias[c] above the threshold until the buffer is full. Returns
  // the column to go on from.
  int64_t (*scan)(const float* row, const float* bias, int64_t begin, int64_t end, int32_t first_latent,
                  SelectState* state);
  // out += sum_i value[i] * matrix[index[i]], in the order of i.
  void (*weighted_sum)(float* out, int64_t n, const float* matrix, int64_t count, const int32_t* index,
                       const float* value);
  // out[i] = vector . matrix[index[i]] + add
  void (*dots)(const float* vector, int64_t n, const float* matrix, int64_t count, const int32_t* index,
               float add, float* out);
  void (*subtract)(const float* a, const float* b, int64_t n, float* out);
  void (*add)(const float* a, const float* b, int64_t n, float* out);
  void (*axpy)(float factor, const float* x, int64_t n, float* out);  // out += factor * x
  // Removes the part of gradient_dec parallel to w_dec where unit_norm. Returns the sum of both squared
  // gradients.
  double (*project)(const LatentRow& row);
  // Adam on both rows, then unit norm. After project().
  void (*apply)(const LatentRow& row, const AdamConstants& adam);
  void (*adam)(float* w, const float* g, float* m, float* v, int64_t n, const AdamConstants& adam);
  LowKernels<float> f32;
  LowKernels<BFloat16> bf16;
};

const Kernels& kernels_avx512();
const Kernels& kernels_avx2();
const Kernels& kernels_sse2();
const Kernels& best_kernels();                       // of this processor
const Kernels& kernels_for(const std::string& isa);  // Error{bad_config} where this processor lacks it

template <typename Low>
const LowKernels<Low>& low_kernels(const Kernels& kernels);
template <>
inline const LowKernels<float>& low_kernels(const Kernels& kernels) {
  return kernels.f32;
}
template <>
inline const LowKernels<BFloat16>& low_kernels(const Kernels& kernels) {
  return kernels.bf16;
}

}  // namespace saemill
