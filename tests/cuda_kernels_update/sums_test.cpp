#include "engine/backend/cuda/sums.h"

#include "update_fixture.h"

namespace saemill::gpu {
namespace {

class SumsTest : public DeviceTest {
 protected:
  // All that a kernel changes, in every order of threads.
  template <typename T>
  std::vector<T> repeated(const std::string& name, const std::function<std::vector<T>()>& work) {
    const std::vector<T> first = work();
    in_all_orders([&] { expect_same_bits(first, work(), name); });
    return first;
  }
};

std::vector<double> doubles(const std::vector<float>& values) {
  return {values.begin(), values.end()};
}

TEST_F(SumsTest, BatchSumsAreAddedToTheStep) {
  for (const auto& [rows, n] : {std::pair<int64_t, int64_t>{1, 16}, {130, 100}, {2500, 40}}) {
    const int64_t blocks = ceil_div(rows, kBlock);
    const std::vector<double> stats = doubles(normals(rows * kRowStats, 1));
    const std::vector<float> block_sums = normals(blocks * n, 2);
    const std::vector<double> moments = doubles(normals(blocks * (n + 1), 3));
    std::vector<double> start = doubles(normals(kStepSums + n + n + 1, 4)), want = start;
    for (int64_t r = 0; r < rows * kRowStats; ++r) want[at(r % kRowStats)] += stats[at(r)];
    for (int64_t i = 0; i < blocks * n; ++i) want[at(kStepSums + i % n)] += value_of(block_sums[at(i)]);
    for (int64_t i = 0; i < blocks * (n + 1); ++i) want[at(kStepSums + n + i % (n + 1))] += moments[at(i)];
    const auto got = repeated<double>("totals", [&, size = n, count = rows] {
      const Memory totals = upload(start), s = upload(stats), b = upload(block_sums), m = upload(moments);
      double* to = totals.as<double>();
      add_batch_sums({s.as<double>(), b.as<float>(), m.as<double>(), count, size},
                     {to, to + kStepSums, to + kStepSums + size}, stream());
      return download<double>(totals);
    });
    expect_close(got, want, 1e-13, "totals");
  }
}

TEST_F(SumsTest, GradientNormAndClipFactor) {
  for (const double clip : {0.0, 0.5, 1e9}) {
    const int64_t n = 100, blocks = 70;
    const std::vector<double> bias = doubles(normals(n, 1)), squares = doubles(normals(blocks, 2));
    const std::vector<float> sums = normals(blocks * n, 3);
    std::vector<double> norms, grad = bias;
    double total = 0;
    for (const double x : squares) total += norms.emplace_back(x * x);
    for (int64_t i = 0; i < blocks * n; ++i) grad[at(i % n)] -= value_of(sums[at(i)]);
    for (const double g : grad) total += g * g;
    Memory gradient(at(n) * sizeof(float));
    const auto got = repeated<double>("sums", [&] {
      const Memory b = upload(bias), s = upload(sums), c = upload(norms);
      const Memory step = upload(std::vector<double>(kStepSums, 3.0));
      finish_gradients({s.as<float>(), c.as<double>(), blocks, n, clip, gradient.as<float>()},
                       {step.as<double>(), b.as<double>(), nullptr}, stream());
      return download<double>(step);
    });
    expect_close(download<float>(gradient), grad, kSums, "gradient of b_dec");
    EXPECT_EQ(got[kDeadLatents], 3.0);
    EXPECT_NEAR(got[kGradientSquares], total, 1e-6 * total);
    EXPECT_NEAR(got[kClipFactor], clip == 0.5 ? clip / std::sqrt(total) : 1.0, 1e-6);
  }
}

TEST_F(SumsTest, DataMoments) {
  for (const auto& [rows, n] : {std::pair<int64_t, int64_t>{1, 16}, {130, 100}, {64, 1100}}) {
    const std::vector<float> x = normals(rows * n, 1);
    std::vector<double> want(at(ceil_div(rows, kBlock) * (n + 1)), 0.0);
    for (int64_t i = 0; i < rows * n; ++i) {
      const int64_t block = i / n / kBlock;
      want[at(block * (n + 1) + i % n)] += value_of(x[at(i)]);
      want[at(block * (n + 1) + n)] += value_of(x[at(i)]) * value_of(x[at(i)]);
    }
    const auto got = repeated<double>("moments", [&, count = rows, size = n] {
      const Memory in = upload(x), out(want.size() * sizeof(double));
      data_moments(in.as<float>(), count, size, out.as<double>(), stream());
      return download<double>(out);
    });
    expect_close(got, want, 1e-13, "moments");
  }
}

template <typename Low>
void expect_rounded(const std::vector<Low>& got, const std::vector<float>& want) {
  expect_same_bits(got, lows<Low>(want), "low");
}

template <typename Low>
void check_center(const Stream& stream, int64_t rows, int64_t n) {
  const std::vector<float> x = normals(rows * n, 1), b = normals(n, 2);
  const int64_t padded = round_up(rows, kRowTile);
  std::vector<float> want(at(padded * n), 0.0f);
  for (int64_t i = 0; i < rows * n; ++i) want[at(i)] = x[at(i)] - b[at(i % n)];
  const Memory in(x.size() * sizeof(float)), bias(b.size() * sizeof(float)), out(want.size() * sizeof(Low));
  copy_and_wait(in.data(), x.data(), in.bytes(), stream);
  copy_and_wait(bias.data(), b.data(), bias.bytes(), stream);
  center(in.as<float>(), bias.as<float>(), rows, padded, n, out.as<Low>(), stream);
  std::vector<Low> got(want.size());
  copy_and_wait(got.data(), out.data(), out.bytes(), stream);
  expect_rounded(got, want);
}

TEST_F(SumsTest, CenteredRowsArePadded) {
  for (const auto& [rows, n] : {std::pair<int64_t, int64_t>{1, 16}, {130, 100}, {3, 21}, {128, 768}}) {
    check_center<float>(stream(), rows, n);
    check_center<BFloat16>(stream(), rows, n);
  }
}

TEST_F(SumsTest, LowCopies) {
  for (const int64_t count : {1, 4, 1023, 4096}) {
    const std::vector<float> values = normals(count, 1);
    const Memory in = upload(values), full(values.size() * sizeof(float)), half(values.size() * 2);
    pack(in.as<float>(), count, full.as<float>(), stream());
    pack(in.as<float>(), count, half.as<BFloat16>(), stream());
    expect_rounded(download<float>(full), values);
    expect_rounded(download<BFloat16>(half), values);
  }
}

TEST_F(SumsTest, AdamOfAVector) {
  for (const int64_t step : {1, 2, 1000, 2000000}) {
    const int64_t n = 300;
    const double clip = 0.75;
    StepScalars scalars;
    scalars.adam = {0.01, 0.9, 0.999, 1e-8, step};
    const std::vector<float> w = normals(n, 1), g = normals(n, 2), m = normals(n, 3);
    std::vector<float> v = normals(n, 4);
    for (float& x : v) x *= x;
    std::vector<double> want_w, want_m, want_v;
    for (size_t i = 0; i < at(n); ++i) {
      const double gradient = clip * value_of(g[i]);
      want_m.push_back(0.9 * value_of(m[i]) + 0.1 * gradient);
      want_v.push_back(0.999 * value_of(v[i]) + 0.001 * gradient * gradient);
      const double m_hat = want_m[i] / (1 - std::pow(0.9, static_cast<double>(step)));
      const double v_hat = want_v[i] / (1 - std::pow(0.999, static_cast<double>(step)));
      want_w.push_back(value_of(w[i]) - 0.01 * m_hat / (std::sqrt(v_hat) + 1e-8));
    }
    const Memory param = upload(w), grad = upload(g), first = upload(m), second = upload(v);
    const Memory given = upload(std::vector<StepScalars>{scalars}),
                 factor = upload(std::vector<double>{clip});
    const Memory constants(sizeof(AdamConstants));
    prepare_adam(given.as<StepScalars>(), factor.as<double>(), constants.as<AdamConstants>(), stream());
    adam_vector(param.as<float>(), grad.as<float>(), first.as<float>(), second.as<float>(), n,
                constants.as<AdamConstants>(), stream());
    expect_close(download<float>(param), want_w, 1e-6, "parameter");
    expect_close(download<float>(first), want_m, 1e-6, "m");
    expect_close(download<float>(second), want_v, 1e-6, "v");
  }
}

}  // namespace
}  // namespace saemill::gpu
