#include "order.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <numeric>
#include <string>

#include "common/base/error.h"
#include "common/base/random.h"

namespace saemill::gpu::emulation {
namespace {

Mode parse(const std::string& text) {
  if (text == "forward") return {Order::forward, 0};
  if (text == "reverse") return {Order::reverse, 0};
  const std::string prefix = "shuffled:";
  if (text.starts_with(prefix) && text.size() > prefix.size() &&
      text.find_first_not_of("0123456789", prefix.size()) == std::string::npos)
    return {Order::shuffled, std::stoull(text.substr(prefix.size()))};
  fail(ErrorCode::bad_config, "SAEMILL_EMULATION_ORDER is '{}': forward, reverse or shuffled:SEED", text);
}

struct Current {
  std::mutex mutex;
  Mode mode;
  Current() {
    const char* text = std::getenv("SAEMILL_EMULATION_ORDER");
    if (text) mode = parse(text);
  }
};

Current& current() {
  static Current value;
  return value;
}

}  // namespace

Mode mode() {
  std::lock_guard lock(current().mutex);
  return current().mode;
}

void set_mode(const Mode& mode) {
  std::lock_guard lock(current().mutex);
  current().mode = mode;
}

std::vector<uint32_t> order_of(size_t count, uint64_t salt) {
  std::vector<uint32_t> order(count);
  std::iota(order.begin(), order.end(), 0u);
  const Mode now = mode();
  if (now.order == Order::reverse) std::reverse(order.begin(), order.end());
  if (now.order == Order::shuffled)
    for (size_t i = count; i > 1; --i) std::swap(order[i - 1], order[random_bits(now.seed, salt, i) % i]);
  return order;
}

size_t choose(size_t count, uint64_t salt) {
  const Mode now = mode();
  if (now.order == Order::forward) return 0;
  return now.order == Order::reverse ? count - 1 : random_bits(now.seed, salt, count) % count;
}

// Bytes of which every float type is NaN and every index is far outside.
void poison(void* memory, size_t bytes) {
  auto* to = static_cast<unsigned char*>(memory);
  if (mode().order == Order::forward) {
    std::memset(to, 0xff, bytes);
    return;
  }
  for (size_t i = 0; i < bytes; ++i) to[i] = i % 2 == 0 ? 0xc1 : 0x7f;
}

}  // namespace saemill::gpu::emulation
