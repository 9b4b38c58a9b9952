// Which checkpoints of a training somebody may delete.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "control/store/checkpoints.h"
#include "control/store/trainings.h"

namespace saemill {

// Why the checkpoint of this step must stay; empty: it may go. `all`: those that there are, by step. One that
// is active may write or read any of them. One that waits or is paused never loses what it goes on from: the
// newest, or the one that was chosen. Of one that has ended each may go, a retry then begins further back.
std::string why_it_stays(const TrainingRow& training, const std::vector<CheckpointRow>& all, int64_t step);

}  // namespace saemill
