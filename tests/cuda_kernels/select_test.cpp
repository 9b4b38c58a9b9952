#include <limits>

#include "common/base/error.h"
#include "select_fixture.h"

namespace saemill::gpu {
namespace {

TEST_F(SelectTest, RandomValues) {
  expect_exact(random_case(1, 1, 1, 1), {1});
  expect_exact(random_case(3, 5000, 64, 2), {5000, 4096, 1024, 1000, 777});
  expect_exact(random_case(130, 600, 32, 3), {600, 512, 100});
  expect_exact(random_case(2, 20000, 7, 4), {8192, 20000});
}

TEST_F(SelectTest, EveryThreadOrderGivesTheSameBits) {
  const SelectCase c = random_case(4, 9000, 50, 5);
  in_all_orders([&] { expect_exact(c, {9000, 4100, 1001}); });
}

TEST_F(SelectTest, ManyTies) {
  const auto few_values = [](size_t i) { return static_cast<float>((i * 2654435761u >> 16) % 3); };
  const SelectCase c = make_case(3, 9000, 300, few_values);
  in_all_orders([&] { expect_exact(c, {9000, 4096, 999}); });
  expect_exact(make_case(2, 12000, 256, [](size_t) { return 1.5f; }), {12000, 8192, 100});
  expect_exact(make_case(2, 9000, 1, [](size_t) { return 1.5f; }), {9000, 4096});
}

// Ties that a cut goes through, better values after them.
TEST_F(SelectTest, TiesThenLargerValues) {
  const auto rising = [](size_t i) { return i % 20000 < 10000 ? 1.0f : i % 97 == 0 ? 2.0f : 1.0f; };
  expect_exact(make_case(2, 20000, 150, rising), {20000, 8192, 5000});
}

TEST_F(SelectTest, RisingAndFallingRows) {
  expect_exact(make_case(2, 16384, 64, [](size_t i) { return static_cast<float>(i % 16384); }),
               {16384, 3000});
  expect_exact(make_case(2, 16384, 64, [](size_t i) { return 16384.0f - static_cast<float>(i % 16384); }),
               {16384, 3000});
}

TEST_F(SelectTest, NothingPositive) {
  const float values[] = {0.0f, -0.0f, -1.0f, std::nanf("")};
  const SelectCase c = make_case(5, 5000, 10, [&](size_t i) { return values[i % 4]; });
  in_all_orders([&] { expect_exact(c, {5000, 1111}); });
  EXPECT_FALSE(select(c, 5000).more);
}

TEST_F(SelectTest, AllPositive) {
  SelectCase c = random_case(3, 10000, 100, 6);
  for (float& v : c.pre) v = std::fabs(v) + 1.0f;
  expect_exact(c, {10000, 4096, 1500});
  EXPECT_TRUE(select(c, 4096).more);
}

TEST_F(SelectTest, MoreSlotsThanPositiveValues) {
  SelectCase c = random_case(3, 5000, 60, 7);
  for (size_t i = 0; i < c.pre.size(); ++i) c.pre[i] = i % 100 == 0 ? 5.0f + c.pre[i] : -9.0f;
  c.bias.assign(c.bias.size(), 0.0f);
  expect_exact(c, {5000, 512});
  in_all_orders([&] { EXPECT_FALSE(select(c, 512).more); });
  c.k = 50;  // as many as there are
  EXPECT_FALSE(select(c, 512).more);
  c.k = 49;
  EXPECT_TRUE(select(c, 512).more);
}

TEST_F(SelectTest, AsManySlotsAsLatents) {
  expect_exact(random_case(2, 300, 300, 8), {300, 128});
  expect_exact(random_case(2, 4500, 4500, 9), {4500, 1024});
}

TEST_F(SelectTest, ManySlots) {
  SelectCase c = random_case(2, 20000, 4096, 10);
  for (float& v : c.pre) v += 1.0f;
  expect_exact(c, {20000, 7000});
}

TEST_F(SelectTest, SmallAndLargeNumbers) {
  constexpr float kTiny = std::numeric_limits<float>::denorm_min();
  const auto denormal = [](size_t i) { return kTiny * static_cast<float>(i * 7919 % 5000); };
  expect_exact(make_case(2, 5000, 33, denormal), {5000, 700});
  const float inf = std::numeric_limits<float>::infinity();
  const auto large = [=](size_t i) { return i % 9 == 0 ? inf : i % 2 == 0 ? 3.4e38f : -inf; };
  expect_exact(make_case(2, 5000, 33, large), {5000, 700});
  expect_exact(make_case(2, 5000, 700, large), {5000, 700});
  const auto holes = [](size_t i) { return i % 5 == 0 ? std::nanf("") : static_cast<float>(i % 4999); };
  expect_exact(make_case(2, 5000, 33, holes), {5000, 700});
}

TEST_F(SelectTest, RowsApart) {
  const SelectCase c = random_case(7, 5000, 20, 11);
  const Selected right = expected(c);
  for (const int64_t gap : {1, 4, 6}) EXPECT_TRUE(select(c, 4096, gap) == right) << gap;
}

TEST_F(SelectTest, BeginsAnewWithTheFirstLatent) {
  const SelectCase a = random_case(3, 5000, 20, 12), b = random_case(3, 5000, 20, 13);
  const Memory memory(select_state_bytes(3, 20)), index(60 * sizeof(int32_t)), value(60 * sizeof(float));
  const SelectState state = make_select_state(memory.data(), 3, 20);
  for (const SelectCase* c : {&a, &b}) {
    const Memory pre = upload(c->pre), bias = upload(c->bias);
    select_chunk(state, {pre.as<float>(), 5000, 3, 0, 5000, bias.as<float>()}, stream());
    finish_select(state, 3, index.as<int32_t>(), value.as<float>(), nullptr, stream());
    EXPECT_EQ(download<int32_t>(index), expected(*c).index);
  }
}

TEST_F(SelectTest, RefusesWhatIsNotPossible) {
  for (const int64_t k : {int64_t{0}, kMaxSelected + 1}) {
    try {
      select_state_bytes(10, k);
      FAIL();
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::bad_config);
      EXPECT_NE(std::string(error.what()).find(std::to_string(kMaxSelected)), std::string::npos);
    }
  }
  EXPECT_GT(select_state_bytes(1, kMaxSelected), 0u);
}

}  // namespace
}  // namespace saemill::gpu
