// RUN: the folder of one job. Only the launcher that holds RUN/lock writes config.json, events.jsonl,
// status.json, exit.json and logs/.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "control/launch/fd.h"

namespace saemill {

// What earlier attempts have left in events.jsonl.
struct EventHistory {
  int64_t last_attempt = 0;
  int64_t last_step = -1;        // the highest step of an event that a rewind has not taken back
  int64_t last_checkpoint = -1;  // the same of checkpoints: the last one
  int64_t chosen_step = -1;      // of the checkpoint that somebody went back to, until the run is beyond it

  void add(const nlohmann::ordered_json& event);
};

class RunFolder {
 public:
  // PARENT/NAME, or PARENT/NAME-2 and so on: the first that is not taken.
  static RunFolder create_numbered(const std::filesystem::path& parent, const std::string& name);

  // The folder of --out, made if need be. One that holds a run is refused without `resume`, and always while
  // another launcher holds its lock.
  static RunFolder open(const std::filesystem::path& path, bool resume);

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path config_path() const { return path_ / "config.json"; }
  std::filesystem::path events_path() const { return path_ / "events.jsonl"; }
  std::filesystem::path log_path(int rank) const;

  bool finished() const;  // an earlier launcher has ended the run with code 0 and its SAE is there
  EventHistory history() const;

  void begin(const nlohmann::ordered_json& config);  // config.json; an exit.json of earlier is no longer true
  // The time of status.json is this launcher's sign of life, and is set even where the disk is full.
  void write_status(const nlohmann::ordered_json& status) const;
  void write_exit(const nlohmann::ordered_json& exit) const;

 private:
  explicit RunFolder(std::filesystem::path path) : path_(std::move(path)) {}
  void take_lock();

  std::filesystem::path path_;
  Fd lock_;
};

// The last `count` lines of the file from `offset` on, of its last 8 KiB.
std::string tail_of(const std::filesystem::path& path, int64_t offset, int count);

}  // namespace saemill
