#include "engine/train/data_order.h"

#include <gtest/gtest.h>

namespace saemill {
namespace {

// 1000 rows of 100 bytes, in a file that holds as much besides.
class Table final : public ActivationSet {
 public:
  int64_t rows() const override { return 1000; }
  int64_t d_in() const override { return 25; }
  int64_t files() const override { return 1; }
  int64_t bytes() const override { return 200000; }
  std::string dtype() const override { return "F32"; }
  std::string tensor() const override { return ""; }
  const std::map<std::string, std::string>& metadata() const override { return metadata_; }
  void read(int64_t, float, std::span<float>) const override {}

 private:
  std::map<std::string, std::string> metadata_;
};

TEST(DataOrderOfATraining, IsThatOfItsConfiguration) {
  RunConfig config;
  config.train.seed = 7;
  config.activations.block_rows = 16;
  config.activations.window_blocks = 5;
  const DataOrder order = data_order(config, Table());
  EXPECT_EQ(order.rows, 1000);
  EXPECT_EQ(order.seed, 7u);
  EXPECT_EQ(order.block_rows, 16);
  EXPECT_EQ(order.window_blocks, 5);
}

TEST(DataOrderOfATraining, TwoWindowsOrAllShouldFitInMemory) {
  const Table table;
  const DataOrder small{1000, 0, 16, 5};  // 160 rows
  EXPECT_EQ(why_windows_do_not_fit(small, table, 16000), "");
  const std::string why = why_windows_do_not_fit(small, table, 15999);
  EXPECT_NE(why.find("activations.window_blocks, which is 5"), std::string::npos) << why;
  const DataOrder all{1000, 0, 16, 4096};
  EXPECT_EQ(why_windows_do_not_fit(all, table, 100000), "");
  EXPECT_NE(why_windows_do_not_fit(all, table, 99999), "");
  EXPECT_EQ(why_windows_do_not_fit({1000, 0, 1, 4096}, table, 0), "");
}

}  // namespace
}  // namespace saemill
