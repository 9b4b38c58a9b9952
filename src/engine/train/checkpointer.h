// Saves the state beside the step loop: the loop stops for a copy, a thread writes it, and the ranks learn
// from each other's signals when all parts are on the disk, so that rank 0 may publish the checkpoint.
#pragma once

#include <atomic>
#include <string>
#include <thread>

#include "engine/train/reporter.h"
#include "engine/train/state.h"
#include "engine/train/step.h"

namespace saemill {

// Places in Signals.
enum Signal : size_t { kRequest, kSavedStep, kSavedBytes, kSavedCrc, kSaveFailed };

class Checkpointer {
 public:
  // `room` holds the copy; the plan's buffer "checkpoint".
  Checkpointer(FileSystem& files, fs::path run, const CheckpointConfig& config, Communicator& comm,
               Reporter& reporter, Backend& backend, const View& room);
  ~Checkpointer();

  // Reads a checkpoint into the state.
  void restore(int64_t step, TrainingState& state);

  bool busy() const { return saving_; }
  // Collective. Copies the state and starts writing. While busy: finishes the one before first. False: there
  // is no room for it, and nothing was begun; that is said once until there is room again, or where somebody
  // `asked` for this checkpoint.
  bool start(const TrainingState& state, bool asked = false);
  // Why the last start() was false; else empty.
  const std::string& no_room() const { return no_room_; }
  // On rank 0: what the training was resumed from, for whoever was not told when it was written.
  void tell_restored(int64_t step);
  // This rank's news for the others.
  void fill(Signals& signals) const;
  // The news of all ranks, the same on all: publishes when every part is written.
  void settle(const std::vector<Signals>& signals);
  // Collective. Waits until the last checkpoint is published or has failed. False: it failed.
  bool finish();

 private:
  struct Move {
    std::byte *state, *copy;
    size_t bytes;
  };
  struct Copies {
    std::vector<CheckpointTensor> rows, shared;  // whose data lies in room_
    std::vector<Move> moves;
  };
  Copies place(const TrainingState& state) const;
  void begin(int64_t step);
  bool look_for_room(const TrainingState& state, bool asked);
  void write(int64_t first, int64_t last, std::vector<CheckpointTensor> rows,
             std::vector<CheckpointTensor> shared);
  void wait_for_files();
  void publish(const std::vector<Signals>& signals);
  void keep_newest();
  void tell(int64_t step, uint64_t bytes);
  void warn(const char* code, const std::string& message);
  void not_saved(const std::string& reason);

  FileSystem& files_;
  fs::path run_;
  CheckpointConfig config_;
  Communicator& comm_;
  Reporter& reporter_;
  Backend& backend_;
  bool saving_ = false;
  bool failed_ = false;
  int64_t step_ = 0;
  int64_t d_sae_ = 0;
  nlohmann::json state_json_;
  View room_;
  CheckpointFile rows_file_, shared_file_;
  std::string error_;
  std::string no_room_;
  bool said_no_room_ = false;
  std::atomic<bool> written_{false};
  std::thread thread_;
};

}  // namespace saemill
