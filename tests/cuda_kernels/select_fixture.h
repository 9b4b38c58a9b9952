// Selection on a device, and by plain loops.
#pragma once

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>

#include "engine/backend/cuda/select.h"
#include "orders.h"

namespace saemill::gpu {

struct Selected {
  std::vector<int32_t> index;
  std::vector<float> value;
  bool more = false;
  bool operator==(const Selected&) const = default;
};

struct SelectCase {
  int64_t rows = 1, latents = 1, k = 1;
  std::vector<float> pre, bias;
  std::vector<uint8_t> dead;  // empty: all latents count
};

inline SelectCase make_case(int64_t rows, int64_t latents, int64_t k,
                            const std::function<float(size_t)>& pre) {
  SelectCase c{rows, latents, k, {}, {}, {}};
  c.pre.resize(static_cast<size_t>(rows * latents));
  for (size_t i = 0; i < c.pre.size(); ++i) c.pre[i] = pre(i);
  c.bias.assign(static_cast<size_t>(latents), 0.0f);
  return c;
}

inline SelectCase random_case(int64_t rows, int64_t latents, int64_t k, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  SelectCase c = make_case(rows, latents, k, [&](size_t) { return normal(random); });
  for (float& b : c.bias) b = 0.3f * normal(random);
  return c;
}

inline Selected expected(const SelectCase& c) {
  Selected out;
  for (int64_t r = 0; r < c.rows; ++r) {
    std::vector<std::pair<float, int32_t>> best;
    for (int64_t j = 0; j < c.latents; ++j) {
      const auto at = static_cast<size_t>(j);
      const float value = c.pre[static_cast<size_t>(r * c.latents + j)] + c.bias[at];
      if (value > 0 && (c.dead.empty() || c.dead[at] != 0)) best.emplace_back(value, j);
    }
    std::sort(best.begin(), best.end(),
              [](auto a, auto b) { return a.first != b.first ? a.first > b.first : a.second < b.second; });
    const auto k = static_cast<size_t>(c.k);
    out.more = out.more || best.size() > k;
    if (best.size() > k) best.resize(k);
    std::sort(best.begin(), best.end(), [](auto a, auto b) { return a.second < b.second; });
    best.resize(k, {0.0f, 0});
    for (const auto& [value, latent] : best) {
      out.index.push_back(latent);
      out.value.push_back(value);
    }
  }
  return out;
}

class SelectTest : public DeviceTest {
 protected:
  // In chunks of so many latents, of rows that lie `gap` values further apart than they are long.
  Selected select(const SelectCase& c, int64_t chunk, int64_t gap = 0) {
    const Memory bias = upload(c.bias), dead = upload(c.dead), more = upload(std::vector<int32_t>{0});
    const int64_t dead_number = std::count(c.dead.begin(), c.dead.end(), uint8_t{1});
    const Memory dead_count = upload(std::vector<int64_t>{dead_number});
    const Memory memory(select_state_bytes(c.rows, c.k));
    const SelectState state = make_select_state(memory.data(), c.rows, c.k);
    const auto slots = static_cast<size_t>(c.rows * c.k);
    const Memory index(slots * sizeof(int32_t)), value(slots * sizeof(float));
    std::vector<Memory> kept;  // the stream uses it
    for (int64_t first = 0; first < c.latents; first += chunk) {
      const int64_t count = std::min(chunk, c.latents - first), ld = count + gap;
      std::vector<float> pre(static_cast<size_t>((c.rows - 1) * ld + count), std::nanf(""));
      for (int64_t r = 0; r < c.rows; ++r)
        std::copy_n(c.pre.begin() + r * c.latents + first, count, pre.begin() + r * ld);
      kept.push_back(upload(pre));
      SelectChunk task{kept.back().as<float>(), ld, c.rows, first, count, bias.as<float>() + first};
      if (!c.dead.empty()) task.dead = dead.as<uint8_t>() + first;
      if (!c.dead.empty()) task.dead_count = dead_count.as<int64_t>();
      select_chunk(state, task, stream());
    }
    finish_select(state, c.rows, index.as<int32_t>(), value.as<float>(), more.as<int32_t>(), stream());
    Selected out{download<int32_t>(index), download<float>(value), download<int32_t>(more)[0] != 0};
    return out;
  }

  void expect_exact(const SelectCase& c, const std::vector<int64_t>& chunks) {
    const Selected right = expected(c);
    for (const int64_t chunk : chunks) {
      SCOPED_TRACE(testing::Message()
                   << c.rows << " x " << c.latents << ", k " << c.k << ", chunk " << chunk);
      EXPECT_TRUE(select(c, chunk) == right);
    }
  }
};

}  // namespace saemill::gpu
