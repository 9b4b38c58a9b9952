#include "engine/backend/cuda/decode.h"

#include "update_fixture.h"

namespace saemill::gpu {
namespace {

struct DecodeCase {
  int64_t rows, n, k, aux_k, latents;
};

constexpr double kL1Gradient = 0.125;
constexpr float kScale = 0.25f, kAuxScale = 0.0625f;

template <typename Low>
struct DecodeInput {
  explicit DecodeInput(const DecodeCase& c)
      : x(normals(c.rows * c.n, 1)),
        b_dec(normals(c.n, 2)),
        decoder(lows<Low>(normals(c.latents * c.n, 3, 0.3))),
        codes(random_codes(c.rows, c.k, c.latents, 10)),
        aux(random_codes(c.rows, c.aux_k, c.latents, 20)) {}
  std::vector<float> x, b_dec;
  std::vector<Low> decoder;
  TestCodes codes, aux;
};

// In double: what the reference backend does.
struct DecodeWant {
  std::vector<double> residual, aux_residual, grad, aux_grad, stats;
};

template <typename Low>
void add_decoded(const DecodeInput<Low>& in, const TestCodes& codes, int64_t r, std::vector<double>& sum) {
  const auto n = static_cast<int64_t>(sum.size());
  for (int64_t s = r * codes.k; s < (r + 1) * codes.k; ++s)
    for (int64_t i = 0; i < n; ++i)
      sum[at(i)] += value_of(codes.value[at(s)]) * value_of(in.decoder[at(codes.index[at(s)] * n + i)]);
}

template <typename Low>
void code_gradient(const DecodeInput<Low>& in, const TestCodes& codes, int64_t r, double l1,
                   const std::vector<double>& residual, int64_t n, std::vector<double>& grad) {
  for (int64_t s = r * codes.k; s < (r + 1) * codes.k; ++s) {
    double sum = 0;
    for (int64_t i = 0; i < n; ++i)
      sum += residual[at(r * n + i)] * value_of(in.decoder[at(codes.index[at(s)] * n + i)]);
    grad.push_back(codes.value[at(s)] > 0 ? sum + l1 : 0.0);
  }
}

template <typename Low>
DecodeWant decode_plainly(const DecodeInput<Low>& in, const DecodeCase& c) {
  DecodeWant want;
  for (int64_t r = 0; r < c.rows; ++r) {
    std::vector<double> x_hat(in.b_dec.begin(), in.b_dec.end()), aux_hat(at(c.n), 0.0);
    add_decoded(in, in.codes, r, x_hat);
    add_decoded(in, in.aux, r, aux_hat);
    double stats[kRowStats] = {};
    for (int64_t i = 0; i < c.n; ++i) {
      const double error = x_hat[at(i)] - value_of(in.x[at(r * c.n + i)]), aux_error = aux_hat[at(i)] + error;
      stats[kSquaredError] += error * error;
      if (c.aux_k > 0) stats[kAuxSquaredError] += aux_error * aux_error;
      want.residual.push_back(value_of(kScale) * error);
      if (c.aux_k > 0) want.aux_residual.push_back(value_of(kAuxScale) * aux_error);
    }
    for (int64_t s = r * c.k; s < (r + 1) * c.k; ++s) {
      stats[kL1] += value_of(in.codes.value[at(s)]);
      stats[kL0] += in.codes.value[at(s)] > 0 ? 1 : 0;
    }
    code_gradient(in, in.codes, r, kL1Gradient, want.residual, c.n, want.grad);
    code_gradient(in, in.aux, r, 0, want.aux_residual, c.n, want.aux_grad);
    want.stats.insert(want.stats.end(), stats, stats + kRowStats);
  }
  return want;
}

template <typename Low>
struct DecodeGot {
  std::vector<Low> residual, aux_residual;
  std::vector<float> grad, aux_grad, block_sums;
  std::vector<double> stats;
};

class DecodeTest : public DeviceTest {
 protected:
  template <typename Low>
  DecodeGot<Low> run(const DecodeInput<Low>& in, const DecodeCase& c, int64_t aux_latents) {
    StepScalars scalars;
    scalars.l1 = kL1Gradient;
    const Memory x = upload(in.x), b_dec = upload(in.b_dec), decoder = upload(in.decoder);
    const Memory index = upload(in.codes.index), value = upload(in.codes.value);
    const Memory aux_index = upload(in.aux.index), aux_value = upload(in.aux.value);
    const Memory step = upload(std::vector<StepScalars>{scalars}),
                 some = upload(std::vector<int64_t>{aux_latents});
    const Memory residual(in.x.size() * sizeof(Low)), grad(in.codes.value.size() * sizeof(float));
    const Memory aux_residual(c.aux_k > 0 ? residual.bytes() : 0),
        aux_grad(in.aux.value.size() * sizeof(float));
    const Memory stats(at(c.rows * kRowStats) * sizeof(double));
    const Memory sums(at(ceil_div(c.rows, kBlock) * c.n) * sizeof(float));
    DecodeArguments<Low> a;
    a.x = x.as<float>();
    a.b_dec = b_dec.as<float>();
    a.decoder = decoder.as<Low>();
    a.rows = c.rows;
    a.n = c.n;
    a.codes = {index.as<int32_t>(), value.as<float>(), grad.as<float>(), c.k};
    if (c.aux_k > 0) a.aux = {aux_index.as<int32_t>(), aux_value.as<float>(), aux_grad.as<float>(), c.aux_k};
    if (aux_latents >= 0) a.aux_latents = some.as<int64_t>();
    a.scale = kScale;
    a.aux_scale = kAuxScale;
    a.step = step.as<StepScalars>();
    a.residual = residual.as<Low>();
    a.aux_residual = aux_residual.as<Low>();
    a.row_stats = stats.as<double>();
    decode(a, stream());
    residual_block_sums(residual.as<Low>(), c.rows, c.n, sums.as<float>(), stream());
    return {download<Low>(residual),   download<Low>(aux_residual), download<float>(grad),
            download<float>(aux_grad), download<float>(sums),       download<double>(stats)};
  }

  template <typename Low>
  void check(const DecodeCase& c) {
    SCOPED_TRACE(testing::Message() << c.rows << " x " << c.n << ", k " << c.k << " + " << c.aux_k);
    const DecodeInput<Low> in(c);
    const DecodeWant want = decode_plainly(in, c);
    const DecodeGot<Low> first = run(in, c, -1);
    expect_close(first.residual, want.residual, kRounded<Low>, "residual");
    expect_close(first.aux_residual, want.aux_residual, kRounded<Low>, "aux_residual");
    expect_close(first.grad, want.grad, kSums, "grad");
    if (c.aux_k > 0) expect_close(first.aux_grad, want.aux_grad, kSums, "aux_grad");
    expect_close(first.stats, want.stats, kSums, "row_stats");
    std::vector<double> sums(first.block_sums.size(), 0.0);
    for (int64_t i = 0; i < c.rows * c.n; ++i)
      sums[at(i / c.n / kBlock * c.n + i % c.n)] += value_of(first.residual[at(i)]);
    expect_close(first.block_sums, sums, kSums, "block_sums");
    in_all_orders([&] {
      const DecodeGot<Low> again = run(in, c, -1);
      expect_same_bits(first.residual, again.residual, "residual");
      expect_same_bits(first.aux_residual, again.aux_residual, "aux_residual");
      expect_same_bits(first.grad, again.grad, "grad");
      expect_same_bits(first.aux_grad, again.aux_grad, "aux_grad");
      expect_same_bits(first.stats, again.stats, "row_stats");
      expect_same_bits(first.block_sums, again.block_sums, "block_sums");
    });
  }
  void check_both(const DecodeCase& c) {
    check<float>(c);
    check<BFloat16>(c);
  }
};

TEST_F(DecodeTest, RowsOfManyShapes) {
  for (const DecodeCase& c : {DecodeCase{1, 16, 1, 0, 8},
                              {5, 40, 7, 0, 32},
                              {130, 64, 4, 0, 64},
                              {7, 100, 33, 0, 90},
                              {3, 768, 40, 0, 128},
                              {4, 21, 9, 0, 16},
                              {3, 300, 64, 0, 80}})
    check_both(c);
}

TEST_F(DecodeTest, MoreSlotsThanRegistersHold) {
  for (const DecodeCase& c : {DecodeCase{3, 264, 100, 0, 128}, {4, 77, 400, 0, 512}}) check_both(c);
}

TEST_F(DecodeTest, AuxiliaryCodes) {
  for (const DecodeCase& c :
       {DecodeCase{6, 40, 3, 5, 32}, {66, 16, 2, 1, 24}, {3, 768, 40, 300, 512}, {4, 13, 2, 40, 48}})
    check_both(c);
}

TEST_F(DecodeTest, NoDeadLatentsIsAsWithoutAux) {
  const DecodeCase c{5, 40, 6, 4, 32}, without{5, 40, 6, 0, 32};
  const DecodeInput<BFloat16> in(c), plain(without);
  const DecodeGot<BFloat16> got = run(in, c, 0), want = run(plain, without, -1);
  expect_same_bits(got.residual, want.residual, "residual");
  expect_same_bits(got.grad, want.grad, "grad");
  expect_same_bits(got.stats, want.stats, "row_stats");
}

TEST_F(DecodeTest, ManySlotsFitSharedMemory) {
  check<BFloat16>({1, 24, 8192, 8192, 8200});
}

}  // namespace
}  // namespace saemill::gpu
