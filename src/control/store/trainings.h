// trainings: one row per job of the server, with all of its state. Who moves a training from one status to
// another names the status that it believes in, so of two that try only one succeeds.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <vector>

#include "control/store/machine_events.h"

namespace saemill {

enum class TrainingStatus {
  queued,
  starting,
  running,
  pausing,
  paused,
  finalizing,
  completed,
  failed,
  cancelled
};
const char* to_string(TrainingStatus status);
std::optional<TrainingStatus> training_status_of(const std::string& word);
bool holds_devices(TrainingStatus status);  // starting, running, pausing and finalizing
bool is_final(TrainingStatus status);       // completed, failed and cancelled

// Texts marked JSON are stored as they are given. Times are epoch milliseconds.
struct TrainingRow {
  int64_t arrival = 0;  // of the store, ascending and never used again; 0: not stored yet
  std::string id;
  std::string name;
  std::optional<std::string> group_id;
  TrainingStatus status = TrainingStatus::queued;
  std::optional<std::string> reason_code, reason_message;
  std::optional<int64_t> expected_start;
  std::optional<std::string> asked_gpu_ids;  // JSON; absent: the server chooses
  int64_t device_count = 1;
  std::string device_uuids = "[]";  // JSON
  std::string gpu_ids = "[]";       // JSON: their indices at the start
  bool distributed = false;
  int64_t world_size = 0;
  int64_t current_step = 0, total_steps = 0;
  int64_t priority = 50;
  bool held = false;
  std::string after = "[]";  // JSON: ids of the trainings that must be completed before
  std::optional<int64_t> time_limit_s;
  int64_t max_restarts = 0, restarts = 0;
  std::string config = "{}";  // JSON, resolved
  int64_t attempt = 0;
  std::optional<int64_t> finalized_from_step;
  int64_t created_at = 0;
  std::optional<int64_t> started_at, completed_at;
  std::optional<std::string> error;
  std::string server_id, host;
  int64_t launcher_pid = 0, launcher_start_time = 0;  // field 22 of /proc/PID/stat; 0: none
  std::string boot_id;
  // How far RUN/events.jsonl has been read: bytes, the last seq, lines that were no events. Only RunEvents
  // moves them.
  int64_t events_offset = 0, events_seq = 0, events_skipped = 0;
  std::optional<std::string> resumed_from;  // the status from which it was queued again
  // The step of the checkpoint from which somebody wants it to go on, until that has come true: RunEvents
  // empties it with the rewind that says so.
  std::optional<int64_t> from_checkpoint;
};

// What an update sets; absent: as it was. A nullable column is emptied by std::optional<...>() of its type.
struct TrainingChange {
  template <typename T>
  using Nullable = std::optional<std::optional<T>>;

  std::optional<TrainingStatus> status = {};
  std::optional<std::string> name = {};
  Nullable<std::string> reason_code = {}, reason_message = {};
  Nullable<int64_t> expected_start = {};
  Nullable<std::string> asked_gpu_ids = {};
  std::optional<int64_t> device_count = {};
  std::optional<std::string> device_uuids = {}, gpu_ids = {};
  std::optional<bool> distributed = {};
  std::optional<int64_t> world_size = {}, current_step = {}, total_steps = {}, priority = {};
  std::optional<bool> held = {};
  std::optional<std::string> after = {};
  Nullable<int64_t> time_limit_s = {};
  std::optional<int64_t> max_restarts = {}, restarts = {};
  std::optional<std::string> config = {};
  std::optional<int64_t> attempt = {};
  Nullable<int64_t> finalized_from_step = {}, started_at = {}, completed_at = {};
  Nullable<std::string> error = {};
  std::optional<std::string> server_id = {}, host = {};
  std::optional<int64_t> launcher_pid = {}, launcher_start_time = {};
  std::optional<std::string> boot_id = {};
  Nullable<std::string> resumed_from = {};
  Nullable<int64_t> from_checkpoint = {};
};

struct TrainingQuery {
  std::vector<TrainingStatus> status = {};  // any of these; empty: every
  std::optional<std::string> group_id = {};
  int64_t page = 1, limit = 50;  // newest first
};

struct TrainingPage {
  std::vector<TrainingRow> trainings;
  int64_t total = 0;  // that match, on all pages
};

// Thread-safe, and safe beside other servers on the same database. Bytes that are no text (UTF-8, no zero)
// are stored as '?'.
class Trainings {
 public:
  explicit Trainings(Database& database) : database_(database) {}

  static constexpr int64_t kMostPerPage = 500;

  // All in one transaction, with `events`; sets their arrival, in this order, and the events' ids, unless it
  // throws.
  void insert(std::vector<TrainingRow>& rows, std::vector<MachineEvent>* events = nullptr);
  std::optional<TrainingRow> find(const std::string& id) const;
  // Error{usage}: page < 1, or a limit outside 1 to kMostPerPage.
  TrainingPage list(const TrainingQuery& query) const;
  // Those of one server that hold devices, or whose launcher is not proven to have ended, by arrival.
  std::vector<TrainingRow> active(const std::string& server_id) const;
  // The queue of one server, by arrival.
  std::vector<TrainingRow> queued(const std::string& server_id) const;

  // The training as it is then. Absent, and nothing changed: it is not in that status, or there is none.
  // `event` is stored with the change or not at all, and gets its id.
  std::optional<TrainingRow> update(const std::string& id, TrainingStatus expected,
                                    const TrainingChange& change, MachineEvent* event = nullptr);
  // With its metrics, checkpoints and events. False: it holds devices, its launcher is not proven to have
  // ended, or there is none.
  bool erase(const std::string& id);
  // Final ones that ended before `time_ms`, the oldest first, at most kMostPerPage.
  std::vector<TrainingRow> ended_before(const std::string& server_id, int64_t time_ms) const;
  // Of the completed ones likewise, those that have checkpoints.
  std::vector<TrainingRow> completed_before(const std::string& server_id, int64_t time_ms) const;

 private:
  Database& database_;
};

}  // namespace saemill
