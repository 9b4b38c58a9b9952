// What a kernel does wrong is found.
#include "mistakes.h"

#include <gtest/gtest.h>

#include <cmath>
#include <initializer_list>
#include <numeric>

#include "common/base/error.h"
#include "gpu_emulation_control.h"
#include "sample/fixture.h"

namespace saemill::gpu {
namespace {

using namespace mistakes;

class Mistakes : public DeviceTest {
 protected:
  void TearDown() override { emulation::set_mode({}); }

  Memory out{64 * sizeof(float)};

  // What is said of a kernel that this starts.
  std::string fault(const std::function<void()>& start) {
    try {
      start();
      stream().synchronize();
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::internal);
      return error.what();
    }
    return "";
  }

  std::vector<uint32_t> bits_in(emulation::Order order, const std::function<void()>& start) {
    emulation::set_mode({order, 1});
    start();
    return download<uint32_t>(out);
  }
};

void expect_says(const std::string& text, std::initializer_list<const char*> parts) {
  for (const char* part : parts) EXPECT_NE(text.find(part), std::string::npos) << part << " in: " << text;
}

std::vector<float> counting() {
  std::vector<float> values(64);
  std::iota(values.begin(), values.end(), 1.0f);
  return values;
}

TEST_F(Mistakes, StoreOutside) {
#ifdef __SANITIZE_ADDRESS__
  const auto start = [&](const auto& work) {
    work();
    stream().synchronize();
  };
  EXPECT_DEATH(start([&] { store_outside(out.as<float>(), 64, stream()); }), "heap-buffer-overflow");
  EXPECT_DEATH(start([&] { store_outside_shared(out.as<float>(), stream()); }), "heap-buffer-overflow");
  EXPECT_DEATH(start([&] { out.as<float>()[0] = 1.0f; }), "use-after-poison");
#else
  GTEST_SKIP() << "needs AddressSanitizer";
#endif
}

TEST_F(Mistakes, DynamicSharedMemoryBeyondTheLaunch) {
  const std::string text = fault([&] { read_outside_dynamic(out.as<float>(), stream()); });
  expect_says(text, {"kernel read_outside_dynamic", "260 bytes", "gave 256"});
}

TEST_F(Mistakes, ForgottenBarrier) {
  const Memory in = upload(counting());
  const auto start = [&] { forget_barrier(in.as<float>(), out.as<float>(), stream()); };
  const auto forward = bits_in(emulation::Order::forward, start);
  EXPECT_EQ(forward, bits_in(emulation::Order::forward, start));
  EXPECT_NE(forward, bits_in(emulation::Order::reverse, start));
  EXPECT_NE(forward, bits_in(emulation::Order::shuffled, start));
}

TEST_F(Mistakes, SumInAnyOrder) {
  std::vector<float> values = counting();
  for (float& v : values) v = 1.0f / v;
  const Memory in = upload(values);
  const auto start = [&] {
    fill(out.data(), 0, out.bytes(), stream());
    add_in_any_order(in.as<float>(), out.as<float>(), stream());
  };
  EXPECT_NE(bits_in(emulation::Order::forward, start), bits_in(emulation::Order::reverse, start));
}

TEST_F(Mistakes, SharedMemoryThatNothingWrote) {
  for (const auto order : {emulation::Order::forward, emulation::Order::reverse}) {
    emulation::set_mode({order, 0});
    forget_to_write(out.as<float>(), stream());
    for (const float value : download<float>(out)) EXPECT_TRUE(std::isnan(value));
  }
}

TEST_F(Mistakes, DivergentBarrier) {
  const std::string text = fault([&] { diverge(out.as<float>(), stream()); });
  expect_says(text, {"kernel diverge, block (0, 0, 0)", "threads 0-31 wait in __syncthreads at",
                     "mistakes.cu:", "threads 32-63 have returned"});
}

TEST_F(Mistakes, TwoBarriers) {
  const std::string text = fault([&] { meet_elsewhere(out.as<float>(), stream()); });
  expect_says(text,
              {"kernel meet_elsewhere", "different barriers", "threads 0-31 wait", "threads 32-63 wait"});
}

TEST_F(Mistakes, EarlyReturn) {
  for (const auto order :
       {emulation::Order::forward, emulation::Order::reverse, emulation::Order::shuffled}) {
    emulation::set_mode({order, 3});
    const Stream fresh;
    return_early(out.as<float>(), fresh);
    try {
      fresh.synchronize();
      FAIL();
    } catch (const Error& error) {
      expect_says(std::string(error.what()), {"threads 0-62 wait", "thread 63 has returned"});
    }
  }
}

TEST_F(Mistakes, ShuffleWithAbsentLanes) {
  const std::string text = fault([&] { shuffle_with_absent(out.as<float>(), stream()); });
  expect_says(text, {"kernel shuffle_with_absent", "threads 0-15 wait in __shfl_xor_sync(mask 0xffffffff)",
                     "threads 16-63 have returned"});
}

TEST_F(Mistakes, ShuffleThatDoesNotNameItself) {
  const std::string text = fault([&] { shuffle_unnamed(out.as<float>(), stream()); });
  expect_says(text, {"kernel shuffle_unnamed", "thread 0", "0x0000fffe", "its own lane"});
}

TEST_F(Mistakes, MisalignedVector) {
  const Memory in = upload(counting());
  const std::string text = fault([&] { read_misaligned(in.as<float>(), out.as<float>(), stream()); });
  expect_says(text, {"kernel read_misaligned, block (0, 0, 0), thread 0", "16 bytes", "not aligned"});
}

TEST_F(Mistakes, TooMuchSharedMemory) {
  expect_says(fault([&] { fill_shared(stream()); }), {"fill_shared", "61440 bytes of static"});
  const size_t all = devices()[0].shared_bytes;
  EXPECT_THROW(take_shared(out.as<float>(), all + 1, stream()), Error);
  const Stream other;
  take_shared(out.as<float>(), all - (16 << 10), other);
  other.synchronize();
  take_shared(out.as<float>(), all - (16 << 10) + 1, other);
  EXPECT_THROW(other.synchronize(), Error);
  // Where a launch does not ask for more, 48 KB hold the kernel's static memory too.
  const Stream third;
  take_shared(out.as<float>(), 32 << 10, third);
  EXPECT_NO_THROW(third.synchronize());
  take_shared(out.as<float>(), (32 << 10) + 1, third);
  EXPECT_THROW(third.synchronize(), Error);
}

TEST_F(Mistakes, HostMemoryForAKernel) {
  std::vector<float> host(64);
  expect_says(fault([&] { forget_to_write(host.data(), stream()); }),
              {"forget_to_write", "argument 1", "host memory"});
}

TEST_F(Mistakes, AFailedBlockLeavesTheNextKernelAlone) {
  EXPECT_NE(fault([&] { diverge(out.as<float>(), stream()); }), "");
  EXPECT_THROW(stream().synchronize(), Error);  // a stream that failed stays so
  const Stream other;
  add_in_any_order(out.as<float>(), out.as<float>(), other);
  EXPECT_NO_THROW(other.synchronize());
}

}  // namespace
}  // namespace saemill::gpu
