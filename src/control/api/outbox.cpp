#include "control/api/outbox.h"

namespace saemill::api {
namespace {

std::string place_of(const Message& tick) {
  return tick.channel + '\n' + tick.slot;
}

}  // namespace

void Outbox::add(const MessagePtr& message) {
  if (message->tick) {
    if (const auto older = ticks_.find(place_of(*message)); older != ticks_.end()) {
      bytes_ -= (*older->second)->text.size();
      waiting_.erase(older->second);
      ticks_.erase(older);
    }
  }
  waiting_.push_back(message);
  bytes_ += message->text.size();
  if (message->tick) ticks_[place_of(*message)] = std::prev(waiting_.end());
}

void Outbox::clear() {
  waiting_.clear();
  ticks_.clear();
  bytes_ = 0;
}

std::vector<MessagePtr> Outbox::take() {
  std::vector<MessagePtr> frame;
  size_t size = 0;
  while (!waiting_.empty() && (frame.empty() || size + waiting_.front()->text.size() <= kFrameBytes)) {
    const MessagePtr message = std::move(waiting_.front());
    waiting_.pop_front();
    if (message->tick) ticks_.erase(place_of(*message));
    size += message->text.size();
    frame.push_back(message);
  }
  bytes_ -= size;
  return frame;
}

}  // namespace saemill::api
