// Reports to the launcher: one JSON line per write, and a heartbeat every half second from a thread of its
// own.
#pragma once

#include <condition_variable>
#include <mutex>
#include <thread>

#include "engine/train/reporter.h"

namespace saemill {

class PipeReporter final : public Reporter {
 public:
  PipeReporter(int fd, int rank);
  ~PipeReporter() override;
  void report(nlohmann::ordered_json event) override;
  bool is_recorded() override;
  void progress(int64_t step, const std::string& phase) override;
  std::string phase() const;

 private:
  bool is_taken(double until) const;
  void write_line(const nlohmann::ordered_json& event);
  void beat();

  int fd_, rank_;
  mutable std::mutex mutex_;
  std::condition_variable stop_changed_;
  bool stop_ = false;
  int64_t step_ = 0;
  std::string phase_ = "init";
  std::thread thread_;
};

}  // namespace saemill
