#include "control/jobs/training_state.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

namespace saemill {
namespace {

using enum TrainingState;

constexpr TrainingState kStates[] = {queued,     starting,  running, pausing,  paused,
                                     finalizing, completed, failed,  cancelled};

// CONTRACTS section 5 and the decisions of the header, pair by pair; a pair that is not here is refused.
const std::map<std::pair<TrainingState, Action>, TrainingState> kAccepted = {
    {{queued, Action::hold}, queued},        {{queued, Action::release}, queued},
    {{queued, Action::prioritize}, queued},  {{paused, Action::prioritize}, paused},
    {{starting, Action::pause}, pausing},    {{running, Action::pause}, pausing},
    {{running, Action::finish}, finalizing}, {{running, Action::checkpoint}, running},
    {{paused, Action::resume}, queued},      {{paused, Action::finish}, finalizing},
    {{failed, Action::retry}, queued},       {{cancelled, Action::retry}, queued},
    {{queued, Action::cancel}, cancelled},   {{starting, Action::cancel}, cancelled},
    {{running, Action::cancel}, cancelled},  {{pausing, Action::cancel}, cancelled},
    {{paused, Action::cancel}, cancelled},   {{finalizing, Action::cancel}, cancelled},
};
const std::map<std::pair<TrainingState, Cause>, TrainingState> kMoves = {
    {{queued, Cause::devices_taken}, starting},     {{starting, Cause::first_event}, running},
    {{starting, Cause::ended_well}, finalizing},    {{running, Cause::ended_well}, finalizing},
    {{pausing, Cause::ended_well}, finalizing},     {{starting, Cause::ended_badly}, failed},
    {{running, Cause::ended_badly}, failed},        {{pausing, Cause::ended_badly}, failed},
    {{finalizing, Cause::ended_badly}, failed},     {{starting, Cause::lost_device}, starting},
    {{running, Cause::lost_device}, starting},      {{pausing, Cause::lost_device}, paused},
    {{finalizing, Cause::lost_device}, finalizing}, {{starting, Cause::could_not_start}, failed},
    {{finalizing, Cause::could_not_start}, failed}, {{pausing, Cause::saved}, paused},
    {{finalizing, Cause::exported}, completed},     {{starting, Cause::no_devices}, queued},
};

TEST(TrainingState, EveryAction) {
  for (const TrainingState state : kStates) {
    for (int i = 0; i < kActions; ++i) {
      const auto action = static_cast<Action>(i);
      SCOPED_TRACE(std::string(to_string(action)) + " while " + to_string(state));
      const auto wanted = kAccepted.find({state, action});
      const ActionOutcome outcome = apply(state, action);
      EXPECT_EQ(outcome.next.has_value(), wanted != kAccepted.end());
      EXPECT_EQ(outcome.refusal.empty(), outcome.next.has_value());
      if (outcome.next && wanted != kAccepted.end()) {
        EXPECT_EQ(*outcome.next, wanted->second);
      }
      if (outcome.next) continue;
      EXPECT_NE(outcome.refusal.find(std::string("is ") + to_string(state)), std::string::npos);
      for (const Action other : accepted_actions(state))
        EXPECT_NE(outcome.refusal.find(to_string(other)), std::string::npos) << outcome.refusal;
    }
  }
}

TEST(TrainingState, EveryCause) {
  for (const TrainingState state : kStates) {
    for (int i = 0; i < kCauses; ++i) {
      const auto cause = static_cast<Cause>(i);
      const auto wanted = kMoves.find({state, cause});
      const auto next = next_state(state, cause);
      EXPECT_EQ(next.has_value(), wanted != kMoves.end())
          << to_string(cause) << " while " << to_string(state);
      if (next && wanted != kMoves.end()) {
        EXPECT_EQ(*next, wanted->second);
      }
    }
  }
}

// The store asks in SQL which states are final and which hold devices: the table must agree with it.
TEST(TrainingState, TheStoreAgrees) {
  for (const TrainingState state : kStates) {
    std::set<TrainingState> next;
    for (int i = 0; i < kActions; ++i) {
      const auto outcome = apply(state, static_cast<Action>(i));
      if (outcome.next && static_cast<Action>(i) != Action::retry) next.insert(*outcome.next);
    }
    for (int i = 0; i < kCauses; ++i) {
      if (const auto to = next_state(state, static_cast<Cause>(i))) next.insert(*to);
    }
    EXPECT_EQ(is_final(state), next.empty()) << to_string(state);
    EXPECT_EQ(is_final(state), !apply(state, Action::cancel).next) << to_string(state);
    // Who holds devices can lose them.
    EXPECT_EQ(holds_devices(state), next.count(failed) == 1) << to_string(state);
    EXPECT_EQ(holds_devices(state), next_state(state, Cause::lost_device).has_value()) << to_string(state);
  }
}

TEST(TrainingState, Words) {
  for (int i = 0; i < kActions; ++i)
    EXPECT_EQ(action_of(to_string(static_cast<Action>(i))), static_cast<Action>(i));
  EXPECT_FALSE(action_of("stop"));
  EXPECT_EQ(apply(completed, Action::retry).refusal,
            "the training is completed, which does not accept retry; accepted: nothing");
  EXPECT_EQ(apply(queued, Action::pause).refusal,
            "the training is queued, which does not accept pause; accepted: cancel, hold, release, "
            "prioritize; hold "
            "keeps it waiting");
}

}  // namespace
}  // namespace saemill
