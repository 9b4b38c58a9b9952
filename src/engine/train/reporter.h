// Where a rank's reports go: JSON lines to the launcher (worker_protocol.h), or nowhere in tests and
// benchmarks.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace saemill {

class Reporter {
 public:
  virtual ~Reporter() = default;
  virtual void report(nlohmann::ordered_json event) = 0;  // {"event": ..., ...}; thread-safe
  // Whether all that was reported so far is written down, so that no kill of the launcher can lose it; waits
  // for that, but not long.
  virtual bool is_recorded() { return true; }
  virtual void progress(int64_t step, const std::string& phase) = 0;  // for heartbeats; thread-safe
};

class SilentReporter final : public Reporter {
 public:
  void report(nlohmann::ordered_json) override {}
  void progress(int64_t, const std::string&) override {}
};

}  // namespace saemill
