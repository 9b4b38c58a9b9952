#include "engine/backend/cuda/group.h"

#include <algorithm>
#include <cmath>
#include <random>

#include "common/base/error.h"
#include "orders.h"

namespace saemill::gpu {
namespace {

struct GroupCase {
  int64_t rows = 0, k = 0, first = 0, last = 0;
  std::vector<int32_t> index{};
  std::vector<float> value{};
};

struct Grouped {
  std::vector<int64_t> offsets;
  std::vector<int32_t> positions, first_piece, piece_latent, piece_begin;
  bool operator==(const Grouped&) const = default;
};

class GroupTest : public DeviceTest {
 protected:
  Grouped group(const GroupCase& c) {
    const auto slots = static_cast<size_t>(c.rows * c.k), latents = static_cast<size_t>(c.last - c.first);
    const auto pieces = static_cast<size_t>(max_pieces(c.rows * c.k));
    const Memory index = upload(c.index), value = upload(c.value);
    const Memory offsets((latents + 1) * sizeof(int64_t)), positions(slots * sizeof(int32_t));
    const Memory first_piece(latents * sizeof(int32_t)), piece_latent(pieces * sizeof(int32_t)),
        piece_begin(pieces * sizeof(int32_t));
    const Memory scratch(group_scratch_bytes(c.rows * c.k));
    group_by_latent({index.as<int32_t>(), value.as<float>(), c.rows, c.k, c.first, c.last},
                    {offsets.as<int64_t>(), positions.as<int32_t>(), first_piece.as<int32_t>(),
                     piece_latent.as<int32_t>(), piece_begin.as<int32_t>()},
                    scratch.data(), scratch.bytes(), stream());
    return {download<int64_t>(offsets), download<int32_t>(positions), download<int32_t>(first_piece),
            download<int32_t>(piece_latent), download<int32_t>(piece_begin)};
  }

  static void expect_right(const GroupCase& c, const Grouped& found) {
    std::vector<int64_t> offsets{0};
    std::vector<int32_t> positions;
    for (int64_t j = c.first; j < c.last; ++j) {
      for (size_t p = 0; p < c.index.size(); ++p)
        if (c.value[p] > 0 && c.index[p] == j) positions.push_back(static_cast<int32_t>(p));
      offsets.push_back(static_cast<int64_t>(positions.size()));
    }
    EXPECT_EQ(found.offsets, offsets);
    EXPECT_TRUE(std::equal(positions.begin(), positions.end(), found.positions.begin()));
    expect_pieces(offsets, found);
  }

  // The pieces of each long latent cover it in order, and there are no others.
  static void expect_pieces(const std::vector<int64_t>& offsets, const Grouped& found) {
    size_t used = 0;
    for (size_t j = 0; j + 1 < offsets.size(); ++j) {
      if (offsets[j + 1] - offsets[j] <= kPieceSlots) {
        EXPECT_EQ(found.first_piece[j], -1);
        continue;
      }
      ASSERT_GE(found.first_piece[j], 0);
      auto piece = static_cast<size_t>(found.first_piece[j]);
      for (int64_t begin = offsets[j]; begin < offsets[j + 1]; begin += kPieceSlots, ++piece, ++used) {
        ASSERT_LT(piece, found.piece_latent.size());
        EXPECT_EQ(found.piece_latent[piece], static_cast<int32_t>(j));
        EXPECT_EQ(found.piece_begin[piece], begin);
      }
    }
    EXPECT_EQ(used,
              found.piece_latent.size() -
                  static_cast<size_t>(std::count(found.piece_latent.begin(), found.piece_latent.end(), -1)));
  }

  void check(const GroupCase& c) {
    SCOPED_TRACE(testing::Message() << c.rows << " x " << c.k << ", " << c.first << " to " << c.last);
    const Grouped found = group(c);
    expect_right(c, found);
    in_all_orders([&] { EXPECT_TRUE(group(c) == found); });
  }
};

// Latents are drawn so that low ones come more often.
GroupCase random_codes(int64_t rows, int64_t k, int64_t latents, double skew, unsigned seed) {
  GroupCase c{rows, k, 0, latents};
  std::mt19937 random(seed);
  std::uniform_real_distribution<double> uniform;
  for (int64_t p = 0; p < rows * k; ++p) {
    const double where = std::pow(uniform(random), skew) * static_cast<double>(latents);
    c.index.push_back(std::min(static_cast<int32_t>(where), static_cast<int32_t>(latents - 1)));
    c.value.push_back(uniform(random) < 0.9 ? 1.0f : 0.0f);
  }
  return c;
}

TEST_F(GroupTest, RandomCodes) {
  check(random_codes(1, 1, 1, 1, 1));
  check(random_codes(130, 8, 1000, 1, 2));  // most latents are empty
  check(random_codes(70, 16, 33, 1, 3));
  check(random_codes(64, 32, 256, 3, 4));
}

TEST_F(GroupTest, PartOfTheLatents) {
  GroupCase c = random_codes(100, 20, 300, 2, 5);
  for (const auto& [first, last] : {std::pair{0, 5}, {100, 256}, {299, 300}, {17, 17}}) {
    c.first = first;
    c.last = last;
    check(c);
  }
}

TEST_F(GroupTest, NothingActive) {
  GroupCase c = random_codes(10, 20, 30, 1, 6);
  c.value.assign(c.value.size(), 0.0f);
  check(c);
  check({0, 4, 0, 10});
}

TEST_F(GroupTest, LongLatentsAreSplit) {
  check(random_codes(200, 32, 9, 1, 7));
  check(random_codes(200, 32, 100, 6, 8));
  for (const int64_t slots : {255, 256, 257, 511, 512, 513, 2000}) {
    GroupCase c{slots, 1, 0, 3};
    c.index.assign(static_cast<size_t>(slots), 1);
    c.value.assign(static_cast<size_t>(slots), 2.0f);
    check(c);
  }
}

// Neighbours that are just long enough to be split, at every distance from where numbers change.
TEST_F(GroupTest, NumbersOfPiecesDoNotMeet) {
  for (int32_t before = 0; before < 130; before += 7) {
    GroupCase c{before + 257 + 257 + 513 + 256 + 257, 1, 0, 6};
    for (const auto& [latent, count] :
         {std::pair{0, before}, {1, 257}, {2, 257}, {3, 513}, {4, 256}, {5, 257}})
      c.index.insert(c.index.end(), static_cast<size_t>(count), latent);
    c.value.assign(c.index.size(), 1.0f);
    expect_right(c, group(c));
  }
}

TEST_F(GroupTest, RefusesTooLittleScratch) {
  const size_t bytes = group_scratch_bytes(100);
  EXPECT_THROW(group_by_latent({nullptr, nullptr, 10, 10, 0, 5}, {}, nullptr, bytes - 1, stream()), Error);
}

}  // namespace
}  // namespace saemill::gpu
