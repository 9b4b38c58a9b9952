#include "engine/backend/cuda/gemm.h"

#include <bit>
#include <cmath>
#include <random>

#include "common/base/error.h"
#include "orders.h"

namespace saemill::gpu {
namespace {

constexpr GemmForm kForms[] = {GemmForm::nt, GemmForm::nn, GemmForm::tn};

float widen(BFloat16 value) {
  return std::bit_cast<float>(static_cast<uint32_t>(value.bits) << 16);
}
float widen(float value) {
  return value;
}

// Values that bf16 and TF32 hold exactly, so that only the order of the sum is left open.
template <typename Low>
std::vector<Low> small_numbers(int64_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<Low> values(static_cast<size_t>(count));
  for (Low& v : values) {
    const float value = static_cast<float>(static_cast<int>(random() % 255) - 127) / 64.0f;
    if constexpr (std::is_same_v<Low, float>)
      v = value;
    else
      v = {static_cast<uint16_t>(std::bit_cast<uint32_t>(value) >> 16)};
  }
  return values;
}

class GemmTest : public DeviceTest {
 protected:
  void SetUp() override {
    DeviceTest::SetUp();
    if (IsSkipped()) return;
    workspace = Memory(kGemmWorkspaceBytes);
    engine.emplace(workspace.data(), workspace.bytes());
  }

  template <typename Low>
  void check(int64_t m, int64_t n, int64_t k, GemmForm form, bool accumulate, int64_t ldc) {
    SCOPED_TRACE(testing::Message() << m << " x " << n << " x " << k << ", form " << static_cast<int>(form));
    const GemmShape shape{m, n, k, form, dtype_of<Low>(), accumulate};
    const std::vector<Low> a = small_numbers<Low>(m * k, 1), b = small_numbers<Low>(k * n, 2);
    std::vector<float> before = small_numbers<float>((m - 1) * ldc + n, 3);
    const Memory a_memory = upload(a), b_memory = upload(b), c = upload(before);
    engine->prepare(shape, ldc);
    engine->run(shape, a_memory.data(), b_memory.data(), c.as<float>(), ldc, stream());
    const std::vector<float> found = download<float>(c);
    const auto at = [](int64_t row, int64_t col, int64_t cols) {
      return static_cast<size_t>(row * cols + col);
    };
    for (int64_t i = 0; i < m; ++i) {
      for (int64_t j = 0; j < n; ++j) {
        double sum = accumulate ? before[at(i, j, ldc)] : 0.0;
        for (int64_t p = 0; p < k; ++p)
          sum += static_cast<double>(widen(a[form == GemmForm::tn ? at(p, i, m) : at(i, p, k)])) *
                 static_cast<double>(widen(b[form == GemmForm::nt ? at(j, p, k) : at(p, j, n)]));
        ASSERT_NEAR(found[at(i, j, ldc)], sum, 1e-5 * (1 + std::fabs(sum))) << i << ", " << j;
      }
      for (int64_t j = n; j < ldc && i + 1 < m; ++j)
        ASSERT_EQ(found[at(i, j, ldc)], before[at(i, j, ldc)]) << "between rows";
    }
  }

  Memory workspace;
  std::optional<GemmEngine> engine;
};

TEST_F(GemmTest, AllFormsAndTypes) {
  for (const GemmForm form : kForms)
    for (const bool accumulate : {false, true}) {
      check<BFloat16>(64, 48, 32, form, accumulate, 48);
      check<float>(64, 48, 32, form, accumulate, 48);
    }
}

TEST_F(GemmTest, AnySize) {
  for (const GemmForm form : kForms) {
    check<BFloat16>(1, 1, 1, form, false, 1);
    check<BFloat16>(7, 13, 5, form, false, 13);
    check<float>(7, 13, 5, form, false, 13);
    check<BFloat16>(130, 70, 129, form, true, 70);
  }
}

TEST_F(GemmTest, RowsApart) {
  for (const GemmForm form : kForms) {
    check<BFloat16>(32, 40, 24, form, false, 64);
    check<float>(9, 5, 6, form, true, 11);
  }
}

TEST_F(GemmTest, InAGraphAndAgain) {
  const GemmShape shape{8, 8, 8, GemmForm::nt, DType::f32, true};
  const Memory a = upload(std::vector<float>(64, 1.0f)), b = upload(std::vector<float>(64, 2.0f));
  const Memory c = upload(std::vector<float>(64, 1.0f));
  engine->prepare(shape, 8);
  const Graph graph(stream(), [&] { engine->run(shape, a.data(), b.data(), c.as<float>(), 8, stream()); });
  graph.launch(stream());
  graph.launch(stream());
  EXPECT_EQ(download<float>(c), std::vector<float>(64, 33.0f));
}

TEST_F(GemmTest, EachSuggestionComputesTheSame) {
  const int64_t m = 64, n = 128, k = 96;
  const GemmShape shape{m, n, k, GemmForm::nt, DType::bf16, false};
  const int count = engine->suggestions(shape, n, 4);
  ASSERT_GE(count, 1);
  ASSERT_LE(count, 4);
  for (int number = 0; number < count; ++number) {
    engine->choose(shape, n, number);
    check<BFloat16>(m, n, k, GemmForm::nt, false, n);
  }
  EXPECT_THROW(engine->choose(shape, n, -1), Error);
  EXPECT_THROW(engine->choose(shape, n, 1000), Error);
}

TEST_F(GemmTest, RefusesWhatDoesNotFit) {
  const Memory memory(4096);
  const auto run = [&](const GemmShape& shape, int64_t offset, int64_t ldc) {
    engine->run(shape, memory.data() + offset, memory.data(), memory.as<float>() + 512, ldc, stream());
  };
  EXPECT_THROW(run({8, 8, 8, GemmForm::nt, DType::f32}, 0, 7), Error);
  EXPECT_THROW(run({8, 8, 0, GemmForm::nt, DType::f32}, 0, 8), Error);
  EXPECT_THROW(run({8, 8, 8, GemmForm::nt, DType::i32}, 0, 8), Error);
  EXPECT_THROW(run({8, 8, 8, GemmForm::nt, DType::bf16}, 2, 8), Error);
}

}  // namespace
}  // namespace saemill::gpu
