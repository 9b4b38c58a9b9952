#include "control/api/live_feed.h"

#include <fmt/format.h>

#include "control/api/event_json.h"

namespace saemill::api {
namespace {

const char* name_of(DeviceChange::Kind kind) {
  switch (kind) {
    case DeviceChange::Kind::added:
      return "gpu:added";
    case DeviceChange::Kind::removed:
      return "gpu:removed";
    case DeviceChange::Kind::state:
      return "gpu:state";
    case DeviceChange::Kind::xid:
      return "gpu:xid";
  }
  return "";
}

std::string channel_of(size_t index) {
  return fmt::format("system/gpu/{}", index);
}

}  // namespace

LiveFeed::LiveFeed(Hub& hub, const std::string& host) : hub_(hub), detector_(host) {
  for (const char* channel : {"system/gpus", "system/aggregate", "system/host", "events"}) hub_.open(channel);
}

void LiveFeed::on_snapshot(const Snapshot& snapshot) {
  Happened happened = detector_.next(snapshot);
  for (; devices_ < snapshot.devices.size(); ++devices_) hub_.open(channel_of(devices_));
  for (; devices_ > snapshot.devices.size(); --devices_) hub_.close(channel_of(devices_ - 1));
  for (const DeviceChange& change : happened.changes)
    hub_.publish("system/gpus", name_of(change.kind), change.data);
  hub_.tick("system/gpus", "system:metrics", devices_json(snapshot.devices));
  for (const Device& device : snapshot.devices)
    hub_.tick(channel_of(static_cast<size_t>(device.index)), "system:metrics", saemill::to_json(device));
  hub_.tick("system/aggregate", "system:metrics", aggregate(snapshot.devices));
  hub_.tick("system/host", "system:metrics", saemill::to_json(snapshot.host));
  if (recorder_ != nullptr) recorder_->add(std::move(happened.events));
}

void LiveFeed::told(const MachineEvent& event) {
  hub_.publish("events", "event:created", to_json(event));
}

}  // namespace saemill::api
