// Tells that logs of trainings grow, while somebody listens:
//   trainings/{id}/logs   log:grown {rank, bytes}: a tick for each log. rank: "0", "1", ..., "launcher";
//   bytes: of
//                         its file. What was written is GET trainings/{id}/logs?rank&offset.
#pragma once

#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>

#include "control/api/hub.h"

namespace saemill::api {

// The channel of a training's logs, which TrainingFeed opens and closes.
std::string logs_channel(const std::string& training);

// Has a thread of its own. A look costs a directory for each training whose logs somebody has open, and
// nothing otherwise.
class LogWatch {
 public:
  using RunFolder = std::function<std::filesystem::path(const std::string& training)>;

  LogWatch(Hub& hub, RunFolder run_folder, std::chrono::milliseconds period = std::chrono::milliseconds(250));
  ~LogWatch();
  LogWatch(const LogWatch&) = delete;
  LogWatch& operator=(const LogWatch&) = delete;

 private:
  using Sizes = std::map<std::string, int64_t>;  // of a training's logs, by rank
  void loop();
  void look();
  void tell_grown(const std::string& channel, const std::string& training, Sizes& told);

  Hub& hub_;
  RunFolder run_folder_;
  std::chrono::milliseconds period_;
  std::map<std::string, Sizes> told_;  // by channel; of those that somebody listens to
  std::mutex mutex_;
  std::condition_variable stopping_;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace saemill::api
