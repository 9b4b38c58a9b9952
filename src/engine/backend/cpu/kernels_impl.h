// Compiled once per instruction set by kernels_<isa>.cpp, which defines SAEMILL_KERNELS (the function's name)
// and SAEMILL_LANES. Everything here is in an anonymous namespace and uses no standard library templates: an
// inline function shared with other files could be kept in the version that older processors cannot run.
#include <immintrin.h>

#include <cstring>

#include "engine/backend/cpu/kernels.h"

namespace saemill {
namespace {

constexpr int64_t kLanes = SAEMILL_LANES;
typedef float Floats __attribute__((vector_size(SAEMILL_LANES * 4)));
typedef double Doubles __attribute__((vector_size(SAEMILL_LANES * 8)));
typedef uint32_t Words __attribute__((vector_size(SAEMILL_LANES * 4)));
typedef int32_t Masks __attribute__((vector_size(SAEMILL_LANES * 4)));
typedef uint16_t Halves __attribute__((vector_size(SAEMILL_LANES * 2)));

inline Floats splat(float value) {
  return Floats{} + value;
}

inline Floats load(const float* p) {
  Floats v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
inline Floats load(const BFloat16* p) {
  Halves h;
  std::memcpy(&h, p, sizeof h);
  const Words w = __builtin_convertvector(h, Words) << 16;
  Floats v;
  std::memcpy(&v, &w, sizeof v);
  return v;
}
inline void store(float* p, Floats v) {
  std::memcpy(p, &v, sizeof v);
}
// Round to nearest, ties to even. Inputs are finite.
inline void store(BFloat16* p, Floats v) {
  Words w;
  std::memcpy(&w, &v, sizeof w);
  w += 0x7fffu + ((w >> 16) & 1u);
  const Halves h = __builtin_convertvector(w >> 16, Halves);
  std::memcpy(p, &h, sizeof h);
}

inline float load_one(const float* p) {
  return *p;
}
inline float load_one(const BFloat16* p) {
  const uint32_t w = static_cast<uint32_t>(p->bits) << 16;
  float v;
  std::memcpy(&v, &w, sizeof v);
  return v;
}
inline void store_one(float* p, float v) {
  *p = v;
}
inline void store_one(BFloat16* p, float v) {
  uint32_t w;
  std::memcpy(&w, &v, sizeof w);
  w += 0x7fffu + ((w >> 16) & 1u);
  p->bits = static_cast<uint16_t>(w >> 16);
}

inline float reduce(Floats v) {
  float sum = 0;
  for (int64_t i = 0; i < kLanes; ++i) sum += v[i];
  return sum;
}
inline double reduce_double(Floats v) {
  double sum = 0;
  for (int64_t i = 0; i < kLanes; ++i) sum += static_cast<double>(v[i]);
  return sum;
}

inline uint32_t greater_mask(Floats a, Floats b) {
#if defined(__AVX512F__)
  return _mm512_cmp_ps_mask(reinterpret_cast<__m512>(a), reinterpret_cast<__m512>(b), _CMP_GT_OQ);
#elif defined(__AVX2__)
  return static_cast<uint32_t>(_mm256_movemask_ps(
      _mm256_cmp_ps(reinterpret_cast<__m256>(a), reinterpret_cast<__m256>(b), _CMP_GT_OQ)));
#else
  return static_cast<uint32_t>(
      _mm_movemask_ps(_mm_cmpgt_ps(reinterpret_cast<__m128>(a), reinterpret_cast<__m128>(b))));
#endif
}

int64_t scan(const float* row, const float* bias, int64_t begin, int64_t end, int32_t first_latent,
             SelectState* state) {
  const Floats threshold = splat(state->threshold);
  int64_t c = begin;
  for (; c + kLanes <= end && state->count <= state->capacity - kLanes; c += kLanes) {
    const Floats v = load(row + c) + load(bias + c);
    uint32_t mask = greater_mask(v, threshold);
    while (mask != 0) {
      const int lane = __builtin_ctz(mask);
      mask &= mask - 1;
      state->value[state->count] = v[lane];
      state->index[state->count++] = first_latent + static_cast<int32_t>(c) + lane;
    }
  }
  if (c + kLanes > end)
    for (; c < end && state->count < state->capacity; ++c) {
      const float v = row[c] + bias[c];
      if (!(v > state->threshold)) continue;
      state->value[state->count] = v;
      state->index[state->count++] = first_latent + static_cast<int32_t>(c);
    }
  return c;
}

constexpr int64_t kSlab = 8 * kLanes;  // what eight registers hold

void weighted_sum(float* out, int64_t n, const float* matrix, int64_t count, const int32_t* index,
                  const float* value) {
  int64_t i = 0;
  for (; i + kSlab <= n; i += kSlab) {
    Floats sum[8];
    for (int64_t u = 0; u < 8; ++u) sum[u] = load(out + i + u * kLanes);
    for (int64_t s = 0; s < count; ++s) {
      const float* row = matrix + static_cast<int64_t>(index[s]) * n + i;
      const Floats z = splat(value[s]);
      for (int64_t u = 0; u < 8; ++u) sum[u] += z * load(row + u * kLanes);
    }
    for (int64_t u = 0; u < 8; ++u) store(out + i + u * kLanes, sum[u]);
  }
  for (; i + kLanes <= n; i += kLanes) {
    Floats sum = load(out + i);
    for (int64_t s = 0; s < count; ++s)
      sum += splat(value[s]) * load(matrix + static_cast<int64_t>(index[s]) * n + i);
    store(out + i, sum);
  }
  for (; i < n; ++i)
    for (int64_t s = 0; s < count; ++s) out[i] += value[s] * matrix[static_cast<int64_t>(index[s]) * n + i];
}

float dot(const float* a, const float* b, int64_t n) {
  Floats sum[4] = {};
  int64_t i = 0;
  for (; i + 4 * kLanes <= n; i += 4 * kLanes)
    for (int64_t u = 0; u < 4; ++u) sum[u] += load(a + i + u * kLanes) * load(b + i + u * kLanes);
  for (; i + kLanes <= n; i += kLanes) sum[0] += load(a + i) * load(b + i);
  float rest = 0;
  for (; i < n; ++i) rest += a[i] * b[i];
  return reduce((sum[0] + sum[1]) + (sum[2] + sum[3])) + rest;
}

void dots(const float* vector, int64_t n, const float* matrix, int64_t count, const int32_t* index, float add,
          float* out) {
  for (int64_t s = 0; s < count; ++s)
    out[s] = dot(vector, matrix + static_cast<int64_t>(index[s]) * n, n) + add;
}

void subtract(const float* a, const float* b, int64_t n, float* out) {
  for (int64_t i = 0; i < n; ++i) out[i] = a[i] - b[i];
}
void add(const float* a, const float* b, int64_t n, float* out) {
  for (int64_t i = 0; i < n; ++i) out[i] = a[i] + b[i];
}
void axpy(float factor, const float* x, int64_t n, float* out) {
  for (int64_t i = 0; i < n; ++i) out[i] += factor * x[i];
}

double project(const LatentRow& row) {
  const int64_t n = row.n;
  const float parallel = row.unit_norm ? dot(row.gradient_dec, row.w_dec, n) : 0.0f;
  Floats squares = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const Floats dec = load(row.gradient_dec + i) - splat(parallel) * load(row.w_dec + i);
    const Floats enc = load(row.gradient_enc + i);
    store(row.gradient_dec + i, dec);
    squares += dec * dec + enc * enc;
  }
  double sum = reduce_double(squares);
  for (; i < n; ++i) {
    row.gradient_dec[i] -= parallel * row.w_dec[i];
    sum += static_cast<double>(row.gradient_dec[i] * row.gradient_dec[i] +
                               row.gradient_enc[i] * row.gradient_enc[i]);
  }
  return sum;
}

inline Floats root(Floats v) {
#if defined(__AVX512F__)
  return reinterpret_cast<Floats>(_mm512_sqrt_ps(reinterpret_cast<__m512>(v)));
#elif defined(__AVX2__)
  return reinterpret_cast<Floats>(_mm256_sqrt_ps(reinterpret_cast<__m256>(v)));
#else
  return reinterpret_cast<Floats>(_mm_sqrt_ps(reinterpret_cast<__m128>(v)));
#endif
}

inline Floats adam_lanes(Floats w, Floats g, float* m, float* v, const AdamConstants& c) {
  g = g * splat(c.clip_factor);
  const Floats new_m = splat(c.beta1) * load(m) + splat(c.one_minus_beta1) * g;
  const Floats new_v = splat(c.beta2) * load(v) + splat(c.one_minus_beta2) * (g * g);
  store(m, new_m);
  store(v, new_v);
  return w - splat(c.step_size) * new_m / (root(new_v) * splat(c.inverse_root_bias2) + splat(c.epsilon));
}

// The last elements of a row, as one vector padded with zeros: the same arithmetic as the others.
void adam_tail(float* w, const float* g, float* m, float* v, int64_t count, const AdamConstants& c) {
  float buffer[4][kLanes] = {};
  const size_t bytes = static_cast<size_t>(count) * sizeof(float);
  std::memcpy(buffer[0], w, bytes);
  std::memcpy(buffer[1], g, bytes);
  std::memcpy(buffer[2], m, bytes);
  std::memcpy(buffer[3], v, bytes);
  store(buffer[0], adam_lanes(load(buffer[0]), load(buffer[1]), buffer[2], buffer[3], c));
  std::memcpy(w, buffer[0], bytes);
  std::memcpy(m, buffer[2], bytes);
  std::memcpy(v, buffer[3], bytes);
}

void adam(float* w, const float* g, float* m, float* v, int64_t n, const AdamConstants& c) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) store(w + i, adam_lanes(load(w + i), load(g + i), m + i, v + i, c));
  if (i < n) adam_tail(w + i, g + i, m + i, v + i, n - i, c);
}

void apply(const LatentRow& row, const AdamConstants& c) {
  adam(row.w_enc, row.gradient_enc, row.m_enc, row.v_enc, row.n, c);
  adam(row.w_dec, row.gradient_dec, row.m_dec, row.v_dec, row.n, c);
  if (!row.unit_norm) return;
  const float squares = dot(row.w_dec, row.w_dec, row.n);
  if (!(squares > 0)) return;
  const float inverse = 1.0f / __builtin_sqrtf(squares);
  for (int64_t i = 0; i < row.n; ++i) row.w_dec[i] *= inverse;
}

template <typename Low>
void center(const float* x, const float* b, int64_t n, Low* out) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) store(out + i, load(x + i) - load(b + i));
  for (; i < n; ++i) store_one(out + i, x[i] - b[i]);
}

template <typename Low>
void convert(const float* in, int64_t n, Low* out) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) store(out + i, load(in + i));
  for (; i < n; ++i) store_one(out + i, in[i]);
}

template <typename Low>
double emit(const float* error, float factor, int64_t n, float* scaled, Low* out, float* sums) {
  Floats squares = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const Floats e = load(error + i);
    const Floats s = splat(factor) * e;
    squares += e * e;
    store(scaled + i, s);
    store(out + i, s);
    if (sums) store(sums + i, load(sums + i) + s);
  }
  double total = reduce_double(squares);
  for (; i < n; ++i) {
    scaled[i] = factor * error[i];
    store_one(out + i, scaled[i]);
    if (sums) sums[i] += scaled[i];
    total += static_cast<double>(error[i] * error[i]);
  }
  return total;
}

template <typename Low>
void accumulate(float* dec, float* enc, int64_t n, const Low* residual, const Low* centered, int64_t count,
                const int32_t* rows, const float* z, const float* g) {
  int64_t i = 0;
  for (; i + kSlab <= n; i += kSlab) {
    Floats d[8], e[8];
    for (int64_t u = 0; u < 8; ++u) d[u] = load(dec + i + u * kLanes), e[u] = load(enc + i + u * kLanes);
    for (int64_t s = 0; s < count; ++s) {
      const int64_t at = static_cast<int64_t>(rows[s]) * n + i;
      const Floats zs = splat(z[s]), gs = splat(g[s]);
      for (int64_t u = 0; u < 8; ++u) {
        d[u] += zs * load(residual + at + u * kLanes);
        e[u] += gs * load(centered + at + u * kLanes);
      }
    }
    for (int64_t u = 0; u < 8; ++u) store(dec + i + u * kLanes, d[u]), store(enc + i + u * kLanes, e[u]);
  }
  for (; i + kLanes <= n; i += kLanes) {
    Floats d = load(dec + i), e = load(enc + i);
    for (int64_t s = 0; s < count; ++s) {
      const int64_t at = static_cast<int64_t>(rows[s]) * n + i;
      d += splat(z[s]) * load(residual + at);
      e += splat(g[s]) * load(centered + at);
    }
    store(dec + i, d);
    store(enc + i, e);
  }
  for (; i < n; ++i)
    for (int64_t s = 0; s < count; ++s) {
      const int64_t at = static_cast<int64_t>(rows[s]) * n + i;
      dec[i] += z[s] * load_one(residual + at);
      enc[i] += g[s] * load_one(centered + at);
    }
}

template <typename Low>
void relu(const float* pre, const float* bias, int64_t columns, Low* out, double* l1, double* l0) {
  double sum = 0;
  int64_t count = 0;
  for (int64_t c = 0; c < columns; ++c) {
    const float v = pre[c] + bias[c];
    const bool active = v > 0;
    store_one(out + c, active ? v : 0.0f);
    sum += active ? static_cast<double>(v) : 0.0;
    count += active;
  }
  *l1 += sum;
  *l0 += static_cast<double>(count);
}

template <typename Low>
void relu_gradient(const float* pre, const float* bias, const float* dz, float l1, int64_t columns, Low* z,
                   Low* g, float* bias_sums, uint8_t* fired) {
  for (int64_t c = 0; c < columns; ++c) {
    const float v = pre[c] + bias[c];
    const bool active = v > 0;
    const float gradient = active ? dz[c] + l1 : 0.0f;
    store_one(z + c, active ? v : 0.0f);
    store_one(g + c, gradient);
    bias_sums[c] += gradient;
    fired[c] = static_cast<uint8_t>(fired[c] | active);
  }
}

template <typename Low>
constexpr LowKernels<Low> low_table() {
  return {center<Low>, convert<Low>, emit<Low>, accumulate<Low>, relu<Low>, relu_gradient<Low>};
}

constexpr Kernels kTable = {
    SAEMILL_ISA, scan,    weighted_sum, dots, subtract,           add,
    axpy,        project, apply,        adam, low_table<float>(), low_table<BFloat16>()};

}  // namespace

const Kernels& SAEMILL_KERNELS() {
  return kTable;
}

}  // namespace saemill
