// What is deleted with time, where options ask for it.
#pragma once

#include <filesystem>
#include <functional>

#include "control/jobs/training_board.h"
#include "control/jobs/trash.h"
#include "control/store/checkpoints.h"

namespace saemill {

struct RetentionOptions {
  std::filesystem::path runs;
  std::string server_id;
  int64_t keep_checkpoints_days = 0;  // of completed trainings; 0: for ever
  int64_t keep_trainings_days = 0;    // that ended; 0: for ever
};

// `now`: epoch milliseconds. `erase` deletes a training with its folder.
void delete_old(const RetentionOptions& options, TrainingBoard& board, Checkpoints& checkpoints, Trash& trash,
                int64_t now, const std::function<void(const TrainingRow&)>& erase);

}  // namespace saemill
