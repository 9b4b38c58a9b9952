// Streams, graphs, memory and devices of the emulation: what the host does wrong is found.
#include <gtest/gtest.h>

#include <cstring>
#include <thread>

#include "common/base/error.h"
#include "gpu_emulation_control.h"
#include "mistakes.h"
#include "sample/fixture.h"

namespace saemill::gpu {
namespace {

class Streams : public DeviceTest {
 protected:
  void TearDown() override {
    emulation::set_mode({});
    use_device(0);
  }
  static std::string refusal(const std::function<void()>& work) {
    try {
      work();
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::internal);
      return error.what();
    }
    return "";
  }
};

// One stream writes 1, then another reads it, with or without an event between.
unsigned char read_after_write(bool with_event) {
  const Stream writer, reader;
  const Memory shared(1), result(1);
  fill(shared.data(), 0, 1, writer);
  writer.synchronize();
  Event written;
  fill(shared.data(), 1, 1, writer);
  written.record(writer);
  if (with_event) written.make_wait(reader);
  copy(result.data(), shared.data(), 1, reader);
  unsigned char value = 0;
  copy_and_wait(&value, result.data(), 1, reader);
  return value;
}

TEST_F(Streams, AForgottenEventShows) {
  for (const auto order :
       {emulation::Order::forward, emulation::Order::reverse, emulation::Order::shuffled}) {
    emulation::set_mode({order, 5});
    EXPECT_EQ(read_after_write(true), 1);
  }
  emulation::set_mode({emulation::Order::forward});
  EXPECT_EQ(read_after_write(false), 1);
  emulation::set_mode({emulation::Order::reverse});
  EXPECT_EQ(read_after_write(false), 0);
}

TEST_F(Streams, NothingRunsUntilTheHostWaits) {
  PinnedMemory host(4);
  std::memset(host.data(), 0, 4);
  const Memory device(4);
  fill(device.data(), 3, 4, stream());
  copy(host.data(), device.data(), 4, stream());
  EXPECT_EQ(host.data()[0], std::byte{0});
  Event done;
  done.record(stream());
  EXPECT_FALSE(done.done());
  while (!done.done()) {
  }
  EXPECT_EQ(host.data()[0], std::byte{3});
  EXPECT_TRUE(stream().done());
}

TEST_F(Streams, FreeingWaits) {
  PinnedMemory host(4);
  {
    const Memory device(4);
    fill(device.data(), 3, 4, stream());
    copy(host.data(), device.data(), 4, stream());
  }
  EXPECT_EQ(host.data()[0], std::byte{3});
}

TEST_F(Streams, MemoryThatNothingWroteIsNotZero) {
  const Memory device(8);
  for (const std::byte value : download<std::byte>(device)) EXPECT_NE(value, std::byte{0});
}

TEST_F(Streams, CopiesOfTheWrongMemory) {
  const Memory device(16);
  std::vector<std::byte> host(16);
  EXPECT_NE(refusal([&] { copy(host.data(), device.data(), 16, stream()); }), "");
  EXPECT_NE(refusal([&] { copy(device.data(), host.data(), 16, stream()); }), "");
  EXPECT_NE(refusal([&] { copy(device.data() + 8, device.data(), 16, stream()); }), "");
  EXPECT_NE(refusal([&] { fill(host.data(), 0, 16, stream()); }), "");
  EXPECT_NE(refusal([&] { fill(PinnedMemory(4).data(), 0, 4, stream()); }), "");
  EXPECT_EQ(refusal([&] { copy_and_wait(host.data(), device.data(), 16, stream()); }), "");
}

TEST_F(Streams, GraphsRefuseWhatCudaRefuses) {
  const Memory device(16);
  const Stream side;
  Event fork;
  const auto record = [&](const std::function<void()>& work) {
    return refusal([&] {
      Graph graph(stream(), [&] {
        fill(device.data(), 0, 16, stream());
        work();
      });
    });
  };
  EXPECT_EQ(record([] {}), "");
  EXPECT_NE(record([&] { stream().synchronize(); }).find("recorded"), std::string::npos);
  EXPECT_NE(record([] { Memory more(4); }), "");
  EXPECT_NE(record([&] { stream().done(); }), "");
  const std::string unjoined = record([&] {
    fork.record(stream());
    fork.make_wait(side);
    fill(device.data(), 1, 16, side);
  });
  EXPECT_NE(unjoined.find("does not join"), std::string::npos) << unjoined;
  Event outside;
  outside.record(side);
  EXPECT_NE(record([&] { outside.make_wait(stream()); }), "");
  EXPECT_EQ(record([] {}), "");
}

TEST_F(Streams, ForksOfAGraphRunInAnyOrder) {
  const Memory device(1);
  const Stream side;
  Event fork, join;
  Graph graph(stream(), [&] {
    fork.record(stream());
    fork.make_wait(side);
    fill(device.data(), 1, 1, stream());
    fill(device.data(), 2, 1, side);
    join.record(side);
    join.make_wait(stream());
  });
  const auto last = [&](emulation::Order order) {
    emulation::set_mode({order});
    graph.launch(stream());
    return download<std::byte>(device)[0];
  };
  EXPECT_EQ(last(emulation::Order::forward), std::byte{2});
  EXPECT_EQ(last(emulation::Order::reverse), std::byte{1});
}

TEST_F(Streams, HostWorkTakesItsTurn) {
  const Memory device(4);
  fill(device.data(), 3, 4, stream());
  emulation::enqueue(stream(), "twin", [data = device.data()] {
    data[1] = data[0];
    data[0] = std::byte{9};
  });
  emulation::enqueue_native(stream().native(), "library", [data = device.data()] { data[2] = data[0]; });
  const auto values = download<std::byte>(device);
  EXPECT_EQ(values, (std::vector<std::byte>{std::byte{9}, std::byte{3}, std::byte{9}, std::byte{3}}));
}

TEST_F(Streams, DevicesAndTheirMemory) {
  emulation::set_devices(2, 1000);
  EXPECT_EQ(devices().size(), 2u);
  EXPECT_NE(devices()[0].uuid, devices()[1].uuid);
  EXPECT_THROW(use_device(2), Error);
  use_device(1);
  {
    const Memory memory(600);
    EXPECT_EQ(memory_info().free_bytes, 400u);
    try {
      Memory more(401);
      FAIL();
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::retry);
    }
    EXPECT_NE(refusal([&] { fill(memory.data(), 0, 4, stream()); }), "");  // the stream is one of GPU 0
    const Stream own;
    EXPECT_NE(refusal([&] {
                use_device(0);
                mistakes::forget_to_write(memory.as<float>(), stream());
              }),
              "");
  }
  emulation::set_devices(0);
  EXPECT_NE(unavailable(), "");
  EXPECT_THROW(Memory(4), Error);
  emulation::set_devices(1);
}

TEST_F(Streams, ThreadsShareADevice) {
  const Memory device(4 * 64 * sizeof(float));
  std::vector<std::thread> threads;
  std::vector<int> right(4, 0);
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      const Stream own;
      std::byte* part = device.data() + t * 256;
      std::vector<unsigned char> host(256);
      for (int round = 0; round < 50; ++round) {
        fill(part, static_cast<unsigned char>(t * 50 + round), 256, own);
        copy_and_wait(host.data(), part, 256, own);
        right[static_cast<size_t>(t)] += host[255] == t * 50 + round;
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(right, std::vector<int>(4, 50));
}

}  // namespace
}  // namespace saemill::gpu
