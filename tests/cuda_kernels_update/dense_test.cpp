#include "engine/backend/cuda/dense.h"

#include "update_fixture.h"

namespace saemill::gpu {
namespace {

struct DenseCase {
  int64_t rows, count, ld;
};
const DenseCase kDenseCases[] = {{1, 64, 64}, {130, 100, 128}, {65, 30, 33}, {7, 300, 320}};

constexpr double kL1Gradient = 0.125;
constexpr int64_t kNow = 99, kBefore = 5;

class DenseTest : public DeviceTest {
 protected:
  template <typename Low>
  void check_activate(const DenseCase& c);
  template <typename Low>
  void check_gradient(const DenseCase& c);
  template <typename Low>
  void check_error(int64_t rows, int64_t n);
};

// What lies outside of the batch and the chunk is NaN, so that it shows where it is used.
std::vector<float> padded_matrix(const DenseCase& c, uint64_t number) {
  std::vector<float> matrix = normals(round_up(c.rows, kRowTile) * c.ld, number);
  for (size_t i = 0; i < matrix.size(); ++i) {
    const auto index = static_cast<int64_t>(i);
    if (index / c.ld >= c.rows || index % c.ld >= c.count)
      matrix[i] = std::numeric_limits<float>::quiet_NaN();
  }
  return matrix;
}

template <typename Low>
void DenseTest::check_activate(const DenseCase& c) {
  SCOPED_TRACE(testing::Message() << c.rows << " x " << c.count);
  const int64_t padded = round_up(c.rows, kRowTile);
  const std::vector<float> pre = padded_matrix(c, 1), bias = normals(c.count, 2);
  std::vector<float> z(pre.size(), 0.0f);
  std::vector<double> stats(at(c.rows * kRowStats), 0.0);
  for (int64_t r = 0; r < c.rows; ++r)
    for (int64_t j = 0; j < c.count; ++j) {
      const float value = pre[at(r * c.ld + j)] + bias[at(j)];
      if (!(value > 0)) continue;
      z[at(r * c.ld + j)] = value;
      stats[at(r * kRowStats + kL1)] += 2 * value_of(value);  // of two chunks
      stats[at(r * kRowStats + kL0)] += 2;
    }
  in_all_orders([&] {
    const Memory in = upload(pre), b = upload(bias), out(pre.size() * sizeof(Low));
    const Memory sums(stats.size() * sizeof(double));
    const DenseChunk chunk{c.rows, padded, c.count, c.ld, in.as<float>(), b.as<float>()};
    dense_activate(chunk, true, out.as<Low>(), sums.as<double>(), stream());
    dense_activate(chunk, false, out.as<Low>(), sums.as<double>(), stream());
    expect_same_bits(download<Low>(out), lows<Low>(z), "z");
    expect_close(download<double>(sums), stats, 1e-13, "row_stats");
  });
}

TEST_F(DenseTest, Activation) {
  for (const DenseCase& c : kDenseCases) {
    check_activate<float>(c);
    check_activate<BFloat16>(c);
  }
}

template <typename Low>
void DenseTest::check_gradient(const DenseCase& c) {
  SCOPED_TRACE(testing::Message() << c.rows << " x " << c.count);
  const int64_t padded = round_up(c.rows, kRowTile);
  const std::vector<float> pre = padded_matrix(c, 1), dz = padded_matrix(c, 3), bias = normals(c.count, 2, 2);
  const std::vector<float> before = normals(c.count, 4);
  std::vector<float> z(pre.size(), 0.0f), g(pre.size(), 0.0f);
  std::vector<double> sums(before.begin(), before.end());
  std::vector<int64_t> fired(at(c.count), kBefore);
  for (int64_t r = 0; r < c.rows; ++r)
    for (int64_t j = 0; j < c.count; ++j) {
      const size_t i = at(r * c.ld + j);
      const float value = pre[i] + bias[at(j)];
      if (!(value > 0)) continue;
      z[i] = value;
      g[i] = dz[i] + static_cast<float>(kL1Gradient);
      sums[at(j)] += value_of(g[i]);
      fired[at(j)] = kNow;
    }
  StepScalars scalars;
  scalars.l1 = kL1Gradient;
  scalars.now = kNow;
  std::vector<float> first;
  in_all_orders([&] {
    const Memory in = upload(pre), gradient = upload(dz), b = upload(bias), grad = upload(before);
    const Memory step = upload(std::vector<StepScalars>{scalars});
    const Memory last_fired = upload(std::vector<int64_t>(at(c.count), kBefore));
    const Memory z_out(pre.size() * sizeof(Low)), g_out(pre.size() * sizeof(Low));
    const Memory scratch(dense_scratch_bytes(padded, c.count));
    dense_gradient(DenseGradient<Low>{{c.rows, padded, c.count, c.ld, in.as<float>(), b.as<float>()},
                                      gradient.as<float>(),
                                      step.as<StepScalars>(),
                                      z_out.as<Low>(),
                                      g_out.as<Low>(),
                                      grad.as<float>(),
                                      last_fired.as<int64_t>()},
                   scratch.data(), stream());
    expect_same_bits(download<Low>(z_out), lows<Low>(z), "z");
    expect_same_bits(download<Low>(g_out), lows<Low>(g), "g");
    EXPECT_EQ(download<int64_t>(last_fired), fired);
    const std::vector<float> got = download<float>(grad);
    expect_close(got, sums, kSums, "gradient of b_enc");
    if (first.empty()) first = got;
    expect_same_bits(got, first, "gradient of b_enc");
  });
}

TEST_F(DenseTest, Gradient) {
  for (const DenseCase& c : kDenseCases) {
    check_gradient<float>(c);
    check_gradient<BFloat16>(c);
  }
}

template <typename Low>
void DenseTest::check_error(int64_t rows, int64_t n) {
  const std::vector<float> x = normals(rows * n, 1), decoded = normals(rows * n, 2), b = normals(n, 3);
  std::vector<double> residual, stats(at(rows * kRowStats), 7.0);
  for (int64_t r = 0; r < rows; ++r) stats[at(r * kRowStats + kSquaredError)] = 0;
  for (int64_t i = 0; i < rows * n; ++i) {
    const double error = value_of(decoded[at(i)]) + value_of(b[at(i % n)]) - value_of(x[at(i)]);
    residual.push_back(0.25 * error);
    stats[at(i / n * kRowStats + kSquaredError)] += error * error;
  }
  const Memory in = upload(x), sum = upload(decoded), bias = upload(b), out(x.size() * sizeof(Low));
  const Memory sums = upload(std::vector<double>(stats.size(), 7.0));
  dense_error(DenseError<Low>{rows, n, in.as<float>(), sum.as<float>(), bias.as<float>(), 0.25f,
                              out.as<Low>(), sums.as<double>()},
              stream());
  expect_close(download<Low>(out), residual, kRounded<Low>, "residual");
  expect_close(download<double>(sums), stats, kSums, "row_stats");
}

TEST_F(DenseTest, Error) {
  for (const auto& [rows, n] : {std::pair<int64_t, int64_t>{1, 16}, {70, 100}, {3, 21}, {2, 1500}}) {
    check_error<float>(rows, n);
    check_error<BFloat16>(rows, n);
  }
}

}  // namespace
}  // namespace saemill::gpu
