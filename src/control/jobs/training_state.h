// What may happen to a training: one table of transitions, from which everything here is derived.
//
// CONTRACTS section 5 names states and arrows. What it leaves open is decided so:
// - pause while starting: accepted. The launcher keeps the request until its ranks can save; where nothing
// was
//   trained yet, resume begins where this attempt would have begun.
// - pause or finish while queued: refused, the contract starts them elsewhere. hold keeps a training waiting.
// - finish while starting: refused. Nobody knows yet whether there is anything to export.
// - pause, finish, resume while pausing: refused until it is paused, which takes one checkpoint.
// - cancel while finalizing: accepted, as in any state that is not final. Checkpoints stay, so retry and
// finish
//   still lead to the SAE. Cancelled holds no devices by its state; the leases nevertheless end only with the
//   proof that the processes have.
// - hold and release: only while queued, and neither is an error twice. checkpoint: only while running.
// - prioritize: while queued or paused, where a place in the queue means something.
// - a device lost while finalizing: it is finalized again, on other devices if need be.
// - a training that restarts and finds no free devices is queued again (no_devices).
// - the last step reached (ended_well) leads through finalizing, also for who is pausing: a training that is
//   done has nothing to resume.
// - a device lost while pausing leaves it paused at its last checkpoint: a restart would undo what was asked.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "control/store/trainings.h"

namespace saemill {

using TrainingState = TrainingStatus;  // with its to_string, is_final and holds_devices

enum class Action { pause, resume, finish, cancel, retry, checkpoint, hold, release, prioritize };
inline constexpr int kActions = 9;

const char* to_string(Action action);
std::optional<Action> action_of(const std::string& word);

// What moves a training besides actions.
enum class Cause {
  devices_taken,    // leased and looked at once more: no stranger is on them
  first_event,      // its ranks are at work
  saved,            // the launcher ended after the checkpoint that pause asked for
  exported,         // RUN/sae is whole
  ended_well,       // the launcher ended with 0
  ended_badly,      // it ended otherwise, or the restarts are used up
  lost_device,      // or a process, and a restart is left
  no_devices,       // to start again on
  could_not_start,  // no launcher, no worker, no folder
};
inline constexpr int kCauses = 9;

const char* to_string(Cause cause);

// Where `cause` leads. Absent: it is no news in this state (the first event of a training that is pausing
// already), and nothing changes.
std::optional<TrainingState> next_state(TrainingState from, Cause cause);

struct ActionOutcome {
  std::optional<TrainingState> next;  // the same state for checkpoint, hold, release and prioritize
  std::string refusal;  // for 409 bad_state: the state and what it accepts; empty where next is there
};
ActionOutcome apply(TrainingState from, Action action);

std::vector<Action> accepted_actions(TrainingState state);

}  // namespace saemill
