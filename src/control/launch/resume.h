// Where a run goes on: from its newest recorded checkpoint, or from one that somebody chose.
//
// A choice is carried out by one line, `rewind {step, chosen: true}`. Until it is on the disk nothing is
// lost; from then on no checkpoint beyond it is a candidate, and they are deleted, by the next launcher where
// this one is killed before.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "control/launch/journal.h"
#include "control/launch/run_folder.h"
#include "control/launch/signals.h"
#include "control/launch/worker_client.h"

namespace saemill {

// Of the checkpoint with this name. Error{usage}: there is none; the message names those that there are.
int64_t step_of_choice(const RunFolder& run, const std::string& name);

// Of a run that goes on. `chosen`: that checkpoint and no other; Error{bad_data} where it is damaged.
ResumePoint find_resume_point(const std::filesystem::path& worker, const RunFolder& run,
                              const Journal& journal, std::optional<int64_t> chosen, SignalRequests& signals,
                              const SignOfLife& alive);

// Says where an attempt begins: what is wrong with checkpoints, and which events it replaces. Carries out a
// choice.
void announce_start(const RunFolder& run, Journal& journal, const ResumePoint& point);

}  // namespace saemill
