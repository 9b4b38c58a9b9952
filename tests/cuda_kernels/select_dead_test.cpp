// Selection among latents that have not fired for long.
#include "select_fixture.h"

namespace saemill::gpu {
namespace {

class SelectDead : public SelectTest {
 protected:
  void check(const std::function<bool(size_t)>& is_dead) {
    for (const int64_t k : {1, 40, 256}) {
      SelectCase c = random_case(3, 9000, k, static_cast<unsigned>(k));
      for (size_t j = 0; j < 9000; ++j) c.dead.push_back(is_dead(j) ? 1 : 0);
      in_all_orders([&] { expect_exact(c, {9000, 4096, 1001}); });
    }
  }
};

TEST_F(SelectDead, None) {
  check([](size_t) { return false; });
}
TEST_F(SelectDead, One) {
  check([](size_t j) { return j == 8191; });
}
TEST_F(SelectDead, Few) {
  check([](size_t j) { return j % 37 == 3; });
}
TEST_F(SelectDead, OneChunk) {
  check([](size_t j) { return j >= 5000 && j < 5900; });
}
TEST_F(SelectDead, All) {
  check([](size_t) { return true; });
}

// A block has several of them, one after another.
TEST_F(SelectDead, MoreRowsThanBlocks) {
  SelectCase c = random_case(1030, 120, 5, 1);
  for (size_t j = 0; j < 120; ++j) c.dead.push_back(j % 3 == 0 && j < 60 ? 1 : 0);
  in_all_orders([&] { expect_exact(c, {120, 60}); });
}

// The count says that there is nothing, so nothing is read; the codes are empty all the same.
TEST_F(SelectDead, NoneByTheCount) {
  const Memory memory(select_state_bytes(2, 3)), index(6 * sizeof(int32_t)), value(6 * sizeof(float));
  const SelectState state = make_select_state(memory.data(), 2, 3);
  const Memory pre = upload(std::vector<float>(2 * 100, 1.0f)), bias = upload(std::vector<float>(100, 0.0f));
  const Memory dead = upload(std::vector<uint8_t>(100, 1)), none = upload(std::vector<int64_t>{0});
  for (int64_t first = 0; first < 200; first += 100)
    select_chunk(
        state,
        {pre.as<float>(), 100, 2, first, 100, bias.as<float>(), dead.as<uint8_t>(), none.as<int64_t>()},
        stream());
  finish_select(state, 2, index.as<int32_t>(), value.as<float>(), nullptr, stream());
  EXPECT_EQ(download<float>(value), std::vector<float>(6, 0.0f));
  EXPECT_EQ(download<int32_t>(index), std::vector<int32_t>(6, 0));
}

TEST_F(SelectDead, Marking) {
  for (const size_t latents : {size_t{1}, size_t{255}, size_t{1000}}) {
    std::vector<int64_t> last_fired;
    for (size_t j = 0; j < latents; ++j) last_fired.push_back(static_cast<int64_t>(j * 7 % 100));
    const Memory fired = upload(last_fired), seen = upload(std::vector<int64_t>{120});
    const Memory dead(latents), count(sizeof(int64_t));
    in_all_orders([&] {
      mark_dead(fired.as<int64_t>(), static_cast<int64_t>(latents), seen.as<int64_t>(), 70,
                dead.as<uint8_t>(), count.as<int64_t>(), stream());
      const std::vector<uint8_t> flags = download<uint8_t>(dead);
      int64_t right = 0;
      for (size_t j = 0; j < latents; ++j) {
        ASSERT_EQ(flags[j], 120 - last_fired[j] >= 70 ? 1 : 0);
        right += flags[j];
      }
      EXPECT_EQ(download<int64_t>(count)[0], right);
    });
  }
}

// A recorded graph reads the step's numbers where they are.
TEST_F(SelectDead, MarkingInAGraph) {
  const Memory fired = upload(std::vector<int64_t>{0, 10, 20}), seen = upload(std::vector<int64_t>{15});
  const Memory dead(3), count(sizeof(int64_t));
  const Graph graph(stream(), [&] {
    mark_dead(fired.as<int64_t>(), 3, seen.as<int64_t>(), 10, dead.as<uint8_t>(), count.as<int64_t>(),
              stream());
  });
  for (const int64_t now : {15, 25, 30}) {
    copy_and_wait(seen.data(), &now, sizeof now, stream());
    graph.launch(stream());
    EXPECT_EQ(download<int64_t>(count)[0], now / 10);
  }
}

}  // namespace
}  // namespace saemill::gpu
