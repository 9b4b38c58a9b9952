#include "control/jobs/retention.h"

#include "common/base/error.h"
#include "common/base/log.h"
#include "common/protocol/checkpoint_folders.h"
#include "control/store/checkpoints.h"

namespace saemill {
namespace {

constexpr int64_t kDayMs = int64_t{86400} * 1000;

void delete_checkpoints(const std::filesystem::path& run, const TrainingRow& training, TrainingBoard& board,
                        Checkpoints& checkpoints, Trash& trash, int64_t now) {
  try {
    trash.take(checkpoint_folders::parent(run));
  } catch (const Error& error) {
    return log_line(LogLevel::warning, error.what());
  }
  for (const CheckpointRow& row : checkpoints.list(training.id))
    if (checkpoints.remove(training.id, row.step, now)) board.tell_erased(training.id, row.step);
}

}  // namespace

void delete_old(const RetentionOptions& options, TrainingBoard& board, Checkpoints& checkpoints, Trash& trash,
                int64_t now, const std::function<void(const TrainingRow&)>& erase) {
  if (options.keep_checkpoints_days > 0) {
    for (const auto& row :
         board.store().completed_before(options.server_id, now - options.keep_checkpoints_days * kDayMs))
      delete_checkpoints(options.runs / row.id, row, board, checkpoints, trash, now);
  }
  if (options.keep_trainings_days > 0) {
    for (const auto& row :
         board.store().ended_before(options.server_id, now - options.keep_trainings_days * kDayMs))
      erase(row);
  }
}

}  // namespace saemill
