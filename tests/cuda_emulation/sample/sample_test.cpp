// The same program for CUDA and for the emulation.
#include "sample.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>

#include "common/base/error.h"
#include "fixture.h"

namespace saemill::gpu {
namespace {

using Sample = DeviceTest;

std::vector<float> counting(size_t count) {
  std::vector<float> values(count);
  std::iota(values.begin(), values.end(), 1.0f);
  return values;
}

TEST_F(Sample, DevicesAreDescribed) {
  ASSERT_FALSE(devices().empty());
  const Device& device = devices()[0];
  EXPECT_TRUE(device.uuid.starts_with("GPU-"));
  EXPECT_EQ(device.uuid.size(), 40u);
  EXPECT_GE(device.shared_bytes, size_t{48} << 10);
  EXPECT_GE(device.capability_major, 8);
  const MemoryInfo info = memory_info();
  EXPECT_LE(info.free_bytes, info.total_bytes);
}

TEST_F(Sample, SumsOfBlocks) {
  const std::vector<float> values = counting(5000);
  const Memory in = upload(values), out(5 * sizeof(float));
  sample::sum_blocks(in.as<float>(), 5000, out.as<float>(), stream());
  const std::vector<float> sums = download<float>(out);
  for (size_t b = 0; b < 5; ++b) {
    const size_t last = std::min<size_t>(1024 * b + 1024, 5000);
    EXPECT_EQ(sums[b], std::accumulate(values.begin() + 1024 * static_cast<int64_t>(b),
                                       values.begin() + static_cast<int64_t>(last), 0.0f));
  }
}

TEST_F(Sample, Transposition) {
  const std::vector<float> values = counting(70 * 45);
  const Memory in = upload(values), out(in.bytes());
  sample::transpose(in.as<float>(), 70, 45, out.as<float>(), stream());
  const std::vector<float> turned = download<float>(out);
  for (size_t r = 0; r < 70; ++r)
    for (size_t c = 0; c < 45; ++c) ASSERT_EQ(turned[c * 70 + r], values[r * 45 + c]);
}

TEST_F(Sample, MoreSharedMemoryThanWithoutAsking) {
  constexpr int kCount = 20000;  // 80 KB
  const std::vector<float> values = counting(kCount);
  const Memory in = upload(values), out(in.bytes());
  sample::rotate(in.as<float>(), kCount, 7, out.as<float>(), stream());
  const std::vector<float> rotated = download<float>(out);
  for (size_t i = 0; i < kCount; ++i) ASSERT_EQ(rotated[i], values[(i + 7) % kCount]);
  EXPECT_THROW(sample::rotate(in.as<float>(), 1 << 20, 7, out.as<float>(), stream()), Error);
}

TEST_F(Sample, LowPrecisionRoundsToNearestEven) {
  const float nan = std::numeric_limits<float>::quiet_NaN(), inf = std::numeric_limits<float>::infinity();
  const std::vector<float> values = {1.0f, 1.00390625f, 1.01171875f, -3.3e38f, nan, inf, 0.0f, 3.4e38f};
  const Memory in = upload(values), out(8 * sizeof(BFloat16));
  sample::to_low_precision(in.as<float>(), 8, out.as<BFloat16>(), stream());
  const std::vector<BFloat16> low = download<BFloat16>(out);
  const std::vector<unsigned> expected = {0x3f80, 0x3f80, 0x3f82, 0xff78, 0x7fc0, 0x7f80, 0x0000, 0x7f80};
  for (size_t i = 0; i < 8; ++i) EXPECT_EQ(low[i].bits, expected[i]) << values[i];
}

TEST_F(Sample, StreamsAreOrderedByEvents) {
  const std::vector<float> values = counting(64 * 64);
  const Memory in = upload(values), between(in.bytes()), out(in.bytes());
  const Stream other(Stream::Priority::high);
  Event start(Event::Timing::on), half, end(Event::Timing::on);
  start.record(stream());
  sample::transpose(in.as<float>(), 64, 64, between.as<float>(), stream());
  half.record(stream());
  half.make_wait(other);
  sample::transpose(between.as<float>(), 64, 64, out.as<float>(), other);
  end.record(other);
  end.synchronize_within(10, "the second transposition");
  EXPECT_TRUE(end.done());
  EXPECT_GE(elapsed_ms(start, end), 0.0);
  EXPECT_EQ(download<float>(out), values);
}

TEST_F(Sample, AGraphRepeatsWhatItRecorded) {
  const Memory in(64 * 64 * sizeof(float)), a(in.bytes()), b(in.bytes()), sums(4 * sizeof(float));
  const Stream side;
  Event fork, join;
  Graph graph(stream(), [&] {
    fill(sums.data(), 0, sums.bytes(), stream());
    fork.record(stream());
    fork.make_wait(side);
    sample::transpose(in.as<float>(), 64, 64, a.as<float>(), side);
    join.record(side);
    sample::sum_blocks(in.as<float>(), 64 * 64, sums.as<float>(), stream());
    join.make_wait(stream());
    sample::transpose(a.as<float>(), 64, 64, b.as<float>(), stream());
  });
  for (const float factor : {1.0f, 2.0f}) {
    const std::vector<float> values(64 * 64, factor);
    copy_and_wait(in.data(), values.data(), in.bytes(), stream());
    graph.launch(stream());
    EXPECT_EQ(download<float>(b), values);
    EXPECT_EQ(download<float>(sums), std::vector<float>(4, 1024 * factor));
  }
}

TEST_F(Sample, PinnedMemoryIsCopiedAsynchronously) {
  PinnedMemory host(4096);
  const Memory device(4096);
  std::memset(host.data(), 7, 4096);
  copy(device.data(), host.data(), 4096, stream());
  fill(device.data() + 100, 9, 50, stream());
  copy(host.data(), device.data(), 4096, stream());
  stream().synchronize_within(10, "the copy");
  EXPECT_EQ(host.data()[99], std::byte{7});
  EXPECT_EQ(host.data()[149], std::byte{9});
  EXPECT_EQ(host.data()[150], std::byte{7});
}

TEST_F(Sample, TooMuchMemoryIsWorthARestartElsewhere) {
  try {
    Memory memory(size_t{1} << 50);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::retry);
    EXPECT_NE(std::string(error.what()).find("cudaErrorMemoryAllocation"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace saemill::gpu
