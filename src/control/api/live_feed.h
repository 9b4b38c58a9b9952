// From snapshots to live channels: ticks of what is, and events of what happened.
//   system/gpus       system:metrics {gpu_count, gpus[]}; gpu:added, gpu:removed, gpu:state, gpu:xid
//   system/gpu/{index} system:metrics device
//   system/aggregate  system:metrics {gpu_count, ...}     system/host   system:metrics host
//   events            event:created machine event
#pragma once

#include "control/api/hub.h"
#include "control/monitor/event_detector.h"
#include "control/monitor/event_recorder.h"

namespace saemill::api {

// on_snapshot() is called by one thread; told() by any.
class LiveFeed {
 public:
  LiveFeed(Hub& hub, const std::string& host);

  void record_with(EventRecorder* recorder) { recorder_ = recorder; }
  void on_snapshot(const Snapshot& snapshot);
  void told(const MachineEvent& event);  // by the recorder

 private:
  Hub& hub_;
  EventRecorder* recorder_ = nullptr;
  EventDetector detector_;
  size_t devices_ = 0;  // channels that were opened
};

}  // namespace saemill::api
