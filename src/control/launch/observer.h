// What a launcher tells whoever watches it: the program's progress display, or a test.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

namespace saemill {

class JobObserver {
 public:
  virtual ~JobObserver() = default;
  virtual void on_event(const nlohmann::ordered_json& event) = 0;  // as written to events.jsonl
  virtual void on_progress(int64_t step, int64_t total_steps,
                           const std::string& phase) = 0;   // about once a second
  virtual void on_message(const std::string& message) = 0;  // for a person, one line
};

}  // namespace saemill
