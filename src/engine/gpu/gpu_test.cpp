// What can be said without a device, with CUDA or without. tests/cuda_emulation has the rest.
#include <gtest/gtest.h>

#include "common/base/error.h"
#include "engine/gpu/launch_call.h"
#include "engine/gpu/poll.h"
#include "engine/gpu/runtime.h"

namespace saemill::gpu {
namespace {

std::string refusal(const Grid& grid) {
  try {
    check_grid("decode", grid, 100 << 10);
    return "";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::internal);
    return error.what();
  }
}

TEST(Gpu, SaysWhyThereIsNone) {
  if (unavailable().empty()) GTEST_SKIP() << "there is one: " << devices().at(0).name;
  EXPECT_TRUE(devices().empty());
  try {
    Memory memory(16);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::bad_config);
    EXPECT_NE(std::string(error.what()).find(unavailable()), std::string::npos) << error.what();
  }
}

TEST(Gpu, GridsWithinTheLimits) {
  EXPECT_TRUE(check_grid("decode", {{1, 2, 3}, 1024, 100 << 10}, 100 << 10));
  EXPECT_FALSE(check_grid("decode", {{0}, 128}, 0));
  EXPECT_NE(refusal({{int64_t{1} << 31}, 128}).find("decode"), std::string::npos);
  EXPECT_NE(refusal({{1, 65536}, 128}), "");
  EXPECT_NE(refusal({{-1}, 128}), "");
  EXPECT_NE(refusal({{1}, 1025}), "");
  EXPECT_NE(refusal({{1}, 0}), "");
  EXPECT_NE(refusal({{1}, 32, (100 << 10) + 1}), "");
}

TEST(Gpu, WaitingEndsAtTheDeadline) {
  int asked = 0;
  poll([&] { return ++asked == 3; }, 10, "work");
  try {
    poll([] { return false; }, 0.01, "the exchange");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::retry);
    EXPECT_NE(std::string(error.what()).find("the exchange"), std::string::npos);
  }
}

}  // namespace
}  // namespace saemill::gpu
