// What waits to be sent to one client. A tick that was not sent yet gives way to its successor (the next of
// its channel and slot); events keep their order and are never dropped: a client that falls too far behind is
// closed instead.
#pragma once

#include <cstddef>
#include <list>
#include <string>
#include <unordered_map>
#include <vector>

#include "control/api/hub.h"

namespace saemill::api {

// Not thread-safe.
class Outbox {
 public:
  void add(const MessagePtr& message);
  bool empty() const { return waiting_.empty(); }
  bool too_far_behind() const { return bytes_ > kMostBytes; }
  void clear();

  // The next frame: one message, or several that a client has fallen behind by, to be sent as one JSON array.
  std::vector<MessagePtr> take();

  static constexpr size_t kMostBytes = size_t{8} << 20;
  static constexpr size_t kFrameBytes = size_t{256} << 10;

 private:
  std::list<MessagePtr> waiting_;
  std::unordered_map<std::string, std::list<MessagePtr>::iterator> ticks_;  // by channel and slot
  size_t bytes_ = 0;
};

}  // namespace saemill::api
