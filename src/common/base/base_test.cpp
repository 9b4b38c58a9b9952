#include <gtest/gtest.h>

#include <cmath>

#include "common/base/error.h"
#include "common/base/file.h"
#include "common/base/random.h"
#include "common/base/text.h"

namespace saemill {
namespace {

TEST(File, AtomicWriteReplacesWholeContent) {
  const fs::path path = fs::path(testing::TempDir()) / "saemill_atomic.txt";
  write_file_atomically(real_file_system(), path, "first");
  write_file_atomically(real_file_system(), path, "second");
  EXPECT_EQ(read_file(path), "second");
  EXPECT_FALSE(fs::exists(path.string() + ".tmp"));
  fs::remove(path);
}

TEST(File, FailuresNameThePath) {
  try {
    write_file_atomically(real_file_system(), "/nonexistent-folder/file", "x");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::retry);
    EXPECT_NE(std::string(error.what()).find("/nonexistent-folder/file"), std::string::npos);
  }
}

TEST(Random, NormalHasUnitMoments) {
  double sum = 0, squares = 0;
  constexpr int kCount = 100000;
  for (int i = 0; i < kCount; ++i) {
    const double x = random_normal(7, 1, static_cast<uint64_t>(i));
    sum += x;
    squares += x * x;
  }
  EXPECT_NEAR(sum / kCount, 0.0, 0.02);
  EXPECT_NEAR(squares / kCount, 1.0, 0.02);
  EXPECT_NE(random_bits(7, 1, 0), random_bits(7, 2, 0));
  EXPECT_NE(random_bits(7, 1, 0), random_bits(8, 1, 0));
}

TEST(DurationText, HasTwoUnits) {
  EXPECT_EQ(duration_text(0.4), "0s");
  EXPECT_EQ(duration_text(59.6), "1m00s");
  EXPECT_EQ(duration_text(185), "3m05s");
  EXPECT_EQ(duration_text(9'600), "2h40m");
  EXPECT_EQ(duration_text(3 * 86'400 + 4 * 3'600 + 59), "3d04h");
}

TEST(MemoryText, IsInBinaryUnits) {
  EXPECT_EQ(memory_text(0), "0.0 MiB");
  EXPECT_EQ(memory_text(512 << 20), "512.0 MiB");
  EXPECT_EQ(memory_text(int64_t{1} << 30), "1.0 GiB");
  EXPECT_EQ(memory_text(150'000'000'000), "139.7 GiB");
}

}  // namespace
}  // namespace saemill
