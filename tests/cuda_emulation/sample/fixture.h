// A stream and copies for tests; skips where there is no device.
#pragma once

#include <gtest/gtest.h>

#include <optional>
#include <vector>

#include "engine/gpu/runtime.h"

namespace saemill::gpu {

class DeviceTest : public testing::Test {
 protected:
  void SetUp() override {
    const std::string reason = unavailable();
    if (!reason.empty()) GTEST_SKIP() << reason;
    stream_.emplace();
  }

  const Stream& stream() { return *stream_; }
  template <typename T>
  Memory upload(const std::vector<T>& values) {
    Memory memory(values.size() * sizeof(T));
    copy_and_wait(memory.data(), values.data(), memory.bytes(), stream());
    return memory;
  }
  template <typename T>
  std::vector<T> download(const Memory& memory) {
    std::vector<T> values(memory.bytes() / sizeof(T));
    copy_and_wait(values.data(), memory.data(), memory.bytes(), stream());
    return values;
  }

 private:
  std::optional<Stream> stream_;
};

}  // namespace saemill::gpu
