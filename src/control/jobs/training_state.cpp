#include "control/jobs/training_state.h"

#include <fmt/format.h>

#include <array>
#include <variant>

namespace saemill {
namespace {

struct Transition {
  TrainingState from;
  std::variant<Action, Cause> cause;
  TrainingState to;
};

using enum TrainingState;

constexpr Transition kTransitions[] = {
    {queued, Action::cancel, cancelled},
    {queued, Action::hold, queued},
    {queued, Action::release, queued},
    {queued, Action::prioritize, queued},
    {queued, Cause::devices_taken, starting},

    {starting, Action::pause, pausing},
    {starting, Action::cancel, cancelled},
    {starting, Cause::first_event, running},
    {starting, Cause::ended_well, finalizing},  // resumed at its last step: done before it told anything
    {starting, Cause::ended_badly, failed},
    {starting, Cause::lost_device, starting},
    {starting, Cause::no_devices, queued},
    {starting, Cause::could_not_start, failed},

    {running, Action::pause, pausing},
    {running, Action::finish, finalizing},
    {running, Action::cancel, cancelled},
    {running, Action::checkpoint, running},
    {running, Cause::ended_well, finalizing},
    {running, Cause::ended_badly, failed},
    {running, Cause::lost_device, starting},

    {pausing, Action::cancel, cancelled},
    {pausing, Cause::saved, paused},
    {pausing, Cause::ended_well, finalizing},
    {pausing, Cause::ended_badly, failed},
    {pausing, Cause::lost_device, paused},

    {paused, Action::resume, queued},
    {paused, Action::prioritize, paused},
    {paused, Action::finish, finalizing},
    {paused, Action::cancel, cancelled},

    {finalizing, Action::cancel, cancelled},
    {finalizing, Cause::exported, completed},
    {finalizing, Cause::ended_badly, failed},
    {finalizing, Cause::lost_device, finalizing},
    {finalizing, Cause::could_not_start, failed},  // finish of a paused training starts a launcher

    {failed, Action::retry, queued},
    {cancelled, Action::retry, queued},
};

constexpr std::array<const char*, kActions> kActionNames = {
    "pause", "resume", "finish", "cancel", "retry", "checkpoint", "hold", "release", "prioritize"};
constexpr std::array<const char*, kCauses> kCauseNames = {"devices_taken", "first_event", "saved",
                                                          "exported",      "ended_well",  "ended_badly",
                                                          "lost_device",   "no_devices",  "could_not_start"};

std::optional<TrainingState> find(TrainingState from, const std::variant<Action, Cause>& cause) {
  for (const Transition& row : kTransitions) {
    if (row.from == from && row.cause == cause) return row.to;
  }
  return std::nullopt;
}

const char* hint(TrainingState from, Action action) {
  if (from == queued && action == Action::pause) return "; hold keeps it waiting";
  if (from == queued && action == Action::finish) return "; it can be finished once it runs";
  if (from == pausing && (action == Action::resume || action == Action::finish))
    return "; again once it is paused";
  return "";
}

}  // namespace

const char* to_string(Action action) {
  return kActionNames[static_cast<size_t>(action)];
}

const char* to_string(Cause cause) {
  return kCauseNames[static_cast<size_t>(cause)];
}

std::optional<Action> action_of(const std::string& word) {
  for (size_t i = 0; i < kActionNames.size(); ++i) {
    if (word == kActionNames[i]) return static_cast<Action>(i);
  }
  return std::nullopt;
}

std::optional<TrainingState> next_state(TrainingState from, Cause cause) {
  return find(from, cause);
}

ActionOutcome apply(TrainingState from, Action action) {
  if (const auto to = find(from, action)) return {to, ""};
  std::string accepted;
  for (const Action other : accepted_actions(from))
    accepted += (accepted.empty() ? "" : ", ") + std::string(to_string(other));
  return {std::nullopt,
          fmt::format("the training is {}, which does not accept {}; accepted: {}{}", to_string(from),
                      to_string(action), accepted.empty() ? "nothing" : accepted, hint(from, action))};
}

std::vector<Action> accepted_actions(TrainingState state) {
  std::vector<Action> accepted;
  for (int i = 0; i < kActions; ++i) {
    if (find(state, static_cast<Action>(i))) accepted.push_back(static_cast<Action>(i));
  }
  return accepted;
}

}  // namespace saemill
